import createClient from "openapi-fetch";
import type { paths } from "../../build/api";
import { noteServerTime } from "../lib/clock";
import { ApiError } from "../lib/error";
import type { Session } from "./types";

export { ApiError };

let session: Session | undefined;
let ended = () => {};

/** onSessionEnd has end called when an answer says that the session has ended. */
export const onSessionEnd = (end: () => void) => {
  ended = end;
};

/** sessionEnded tells that an answer has said so. */
export const sessionEnded = () => ended();

/** csrf is the header that requests of the session need. */
export const csrf = (): Record<string, string> => (session?.csrf_token ? { "X-CSRF-Token": session.csrf_token } : {});

export const api = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin" });

api.use({
  onRequest({ request }) {
    for (const [name, value] of Object.entries(csrf())) request.headers.set(name, value);
    return request;
  },
  onResponse({ response, request }) {
    noteServerTime(response.headers.get("Date"));
    if (response.status === 401 && !request.headers.has("Authorization")) ended();
  },
});

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** must returns the data of an answer, or throws its error. */
export async function must<T>(answer: Promise<Answer<T>>): Promise<T> {
  let a: Answer<T>;
  try {
    a = await answer;
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new ApiError(0, "UNREACHABLE", "The server cannot be reached.");
  }
  if (a.response.ok) return a.data as T;
  throw asError(a.response, a.error);
}

/** asError makes an error of an answer's body, whatever that is. */
export function asError(response: Response, body: unknown): ApiError {
  const e = (body as { error?: { code?: string; message?: string; request_id?: string } } | undefined)?.error;
  return new ApiError(response.status, e?.code ?? "UNKNOWN", e?.message ?? response.statusText, e?.request_id);
}

/** signIn exchanges a key for a session. */
export async function signIn(key: string): Promise<Session> {
  session = await must(api.POST("/v1/session", { headers: { Authorization: `Bearer ${key}` } }));
  return session;
}

/** takeCode returns the code of the link that led here, or "", and takes it out of the address. */
export function takeCode(): string {
  const code = new URLSearchParams(location.hash.slice(1)).get("code") ?? "";
  if (code) history.replaceState(history.state, "", location.pathname + location.search);
  return code;
}

/** currentSession returns the session of the browser's cookie; null: there is none. */
export async function currentSession(): Promise<Session | null> {
  const { data, error, response } = await api.GET("/v1/session");
  if (response.status === 401) return null;
  if (!data) throw asError(response, error);
  session = data;
  return data;
}

/** signOut ends the session. It throws if the session may go on. */
export async function signOut(): Promise<void> {
  try {
    await must(api.DELETE("/v1/session"));
  } catch (e) {
    if (!(e instanceof ApiError && e.status === 401)) throw e; // the session is over already
  }
  session = undefined;
}
