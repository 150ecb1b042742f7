import { useState } from "react";
import { Link, useLocation } from "react-router";
import { samePath, useViews } from "../lib/views";
import { useSession } from "../session";
import { Dialog } from "./parts";

/** Views are the saved views of this page. One can be saved while the page has filters. */
export function Views() {
  const { owner } = useSession();
  const { views, save, remove } = useViews(owner);
  const { pathname, search } = useLocation();
  const [asking, setAsking] = useState(false);
  const [name, setName] = useState("");
  const mine = views.filter((v) => v.path.split("?")[0] === pathname);
  const current = mine.find((v) => samePath(v.path, pathname + search));
  if (!mine.length && !search) return null;
  return (
    <div className="chips views" role="group" aria-label="Saved views">
      {mine.map((v) => (
        <Link key={v.name} className="chip" to={v.path} aria-current={v === current ? "true" : undefined}>{v.name}</Link>
      ))}
      {current ? <button className="quiet small" onClick={() => remove(current.name)}>Forget {current.name}</button>
        : search && <button className="quiet small" onClick={() => { setName(""); setAsking(true); }}>Save this view</button>}
      {asking && (
        <Dialog title="Save this view" onClose={() => setAsking(false)}>
          <form onSubmit={(e) => {
            e.preventDefault();
            if (!name.trim()) return;
            save({ name: name.trim(), path: pathname + search });
            setAsking(false);
          }}>
            <p>The filters of this page under a name. It is kept in this browser only; to share it, share the address.</p>
            <label className="wide"><span>Name</span>
              <input value={name} maxLength={60} autoFocus onChange={(e) => setName(e.target.value)} />
            </label>
            {mine.some((v) => v.name === name.trim()) && <p className="muted">It replaces the view of that name.</p>}
            <div className="buttons">
              <button type="button" onClick={() => setAsking(false)}>Leave it</button>
              <button className="primary" disabled={!name.trim()}>Save</button>
            </div>
          </form>
        </Dialog>
      )}
    </div>
  );
}
