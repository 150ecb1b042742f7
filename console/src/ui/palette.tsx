import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useNavigate } from "react-router";
import { live, useLiveState } from "../api/live";
import { workers } from "../api/queries";
import { idEntries, matching, searchEntries, type Entry } from "../lib/palette";
import { useViews } from "../lib/views";
import { useSession } from "../session";
import { Dialog } from "./parts";
import type { Page } from "./shell";

/** Palette leads to pages, saved views, ids and workers by what is typed, and does what the header does. */
export function Palette({ pages, onClose }: { pages: Page[]; onClose: () => void }) {
  const { admin, owner, leave } = useSession();
  const { views } = useViews(owner);
  const go = useNavigate();
  const state = useLiveState();
  const fleet = useQuery({ ...workers(), enabled: admin });
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);

  const entries = useMemo(() => {
    const known: Entry[] = [
      ...pages.map((p) => ({ name: p.name, kind: "page", to: p.to })),
      ...views.map((v) => ({ name: v.name, kind: "saved view", to: v.path })),
      ...(text.trim() ? (fleet.data ?? []).map((w) => ({ name: w.worker_id, kind: "worker", to: `/workers/${encodeURIComponent(w.worker_id)}` })) : []),
      state === "paused" ? { name: "Resume live events", kind: "action", run: () => live.resume() }
        : { name: "Pause live events", kind: "action", run: () => live.pause() },
      { name: "Sign out", kind: "action", run: leave },
    ];
    const ids = idEntries(text, admin);
    return [...ids, ...matching(known, text), ...(ids.length ? [] : searchEntries(text))];
  }, [pages, views, fleet.data, state, leave, text, admin]);
  const chosen = Math.min(at, entries.length - 1);

  const take = (e?: Entry) => {
    if (!e) return;
    onClose();
    if (e.to) void go(e.to);
    else e.run?.();
  };
  return (
    <Dialog title="Go to" onClose={onClose}>
      <input
        className="command" role="combobox" aria-label="Page, id, view or label" aria-expanded="true" aria-controls="entries" autoFocus
        aria-activedescendant={entries.length ? `entry-${chosen}` : undefined} autoComplete="off" spellCheck={false}
        placeholder="Page, id, view or label" value={text} onChange={(e) => { setText(e.target.value); setAt(0); }}
        onKeyDown={(e) => {
          const step = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
          if (step) {
            e.preventDefault();
            setAt((chosen + step + entries.length) % Math.max(1, entries.length));
          } else if (e.key === "Enter") {
            e.preventDefault();
            take(entries[chosen]);
          }
        }}
      />
      <ul id="entries" role="listbox" aria-label="Matches" className="entries">
        {entries.map((e, i) => (
          <li
            key={e.kind + e.name} id={`entry-${i}`} role="option" aria-selected={i === chosen} className={i === chosen ? "on" : ""}
            onMouseMove={() => setAt(i)} onClick={() => take(e)}
          >
            <span>{e.name}</span><span className="muted">{e.kind}</span>
          </li>
        ))}
      </ul>
      {!entries.length && <p className="muted">Nothing has this name.</p>}
    </Dialog>
  );
}
