import { useState } from "react";
import { ApiError, signIn } from "../api/client";
import type { Session } from "../api/types";

export function SignIn({ note, onSession }: { note: string; onSession: (s: Session) => void }) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const submit = async () => {
    setBusy(true);
    setError("");
    try {
      onSession(await signIn(key.trim()));
    } catch (e) {
      const known = e instanceof ApiError ? e : new ApiError(0, "", String(e));
      setError(
        known.status === 401 ? "No such key, or it was revoked or has expired."
          : known.status === 403 ? "Keys of this role do not open the console. It takes keys of customers, viewers and administrators."
            : known.message,
      );
    } finally {
      setBusy(false);
    }
  };
  return (
    <main className="signin">
      <form onSubmit={(e) => { e.preventDefault(); void submit(); }}>
        <h1><img src="/console/icon.svg" alt="" width="28" height="28" />Niyanta</h1>
        {note && <p className="note" role="status">{note}</p>}
        <label htmlFor="key">API key</label>
        <input
          id="key" type="password" required autoFocus autoComplete="off" spellCheck={false} value={key}
          onChange={(e) => setKey(e.target.value)} aria-describedby="key-help"
        />
        <p id="key-help" className="muted">
          You see and do what the key may. The browser keeps a session of 12 hours and not the key.
        </p>
        {error && <p className="error" role="alert">{error}</p>}
        <button className="primary" disabled={busy || !key.trim()}>{busy ? "Signing in" : "Sign in"}</button>
        <p className="muted"><code>niyanta dev</code> prints its keys. <a href="/docs">API documentation</a></p>
      </form>
    </main>
  );
}
