import { createContext, useContext } from "react";
import type { Session } from "./api/types";

/** SessionContext is who is signed in. leave signs out; it rejects if the session goes on. */
export const SessionContext = createContext<{ session: Session; leave: () => Promise<void> } | null>(null);

export function useSession() {
  const value = useContext(SessionContext);
  if (!value) throw new Error("nobody is signed in");
  const { session } = value;
  return { ...value, owner: session.customer_id ?? "administrators", admin: session.role === "admin", acts: session.role !== "viewer" };
}
