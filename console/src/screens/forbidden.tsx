import { useSession } from "../session";

/** Forbidden says who may see a page that this key may not. */
export function Forbidden({ what }: { what: string }) {
  const { session } = useSession();
  return (
    <div className="notice">
      <strong>Only administrators see {what}</strong>
      <p>You are signed in with a key of role {session.role}. Sign out, then sign in with a key of role admin.</p>
      <p className="muted">An administrator makes one with <code>niyanta key create --role admin</code></p>
    </div>
  );
}
