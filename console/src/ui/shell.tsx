import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { NavLink, useLocation, useNavigate } from "react-router";
import { readAgain } from "../api/again";
import { live, useLiveState } from "../api/live";
import { applyToLists } from "../api/queries";
import { find } from "../lib/filters";
import { useSession } from "../session";
import { Palette } from "./palette";
import { Dialog } from "./parts";

export interface Page {
  to: string;
  name: string;
  key: string;
  admin?: boolean;
}

const pages: Page[] = [
  { to: "/", name: "Overview", key: "o" },
  { to: "/workloads", name: "Workloads", key: "w" },
  { to: "/queues", name: "Queues", key: "q" },
  { to: "/workers", name: "Workers", key: "k", admin: true },
  { to: "/customers", name: "Customers", key: "c", admin: true },
  { to: "/audit", name: "Audit", key: "a", admin: true },
  { to: "/settings", name: "Settings", key: "s" },
];

/** Shell is what every page has around it. */
export function Shell({ children }: { children: ReactNode }) {
  const { session, admin, leave } = useSession();
  const client = useQueryClient();
  const path = useLocation().pathname;
  const [help, setHelp] = useState(false);
  const [palette, setPalette] = useState(false);
  const [leaving, setLeaving] = useState(false);
  // stayed is why signing out has failed.
  const [stayed, setStayed] = useState("");
  const signOut = async () => {
    setLeaving(true);
    setStayed("");
    await leave().catch((e: unknown) => setStayed(e instanceof Error ? e.message : String(e)));
    setLeaving(false);
  };
  const shown = pages.filter((p) => admin || !p.admin);
  const main = useRef<HTMLElement>(null);

  const one = /^\/workloads\/([^/]+)$/.exec(path)?.[1];
  useEffect(() => live.follow(one ? `/v1/workloads/${one}/events` : "/v1/events"), [one]);
  useEffect(() => live.listen((events) => applyToLists(client, events)), [client]);
  useEffect(() => live.onLoss(() => {
    // What events keep current, and nothing else reads again, is older than the stream if it is being read.
    readAgain(client, { fetchStatus: "fetching", predicate: (q) => ["workload", "workloads"].includes(String(q.queryKey[0])) });
    void client.invalidateQueries({ predicate: (q) => q.state.dataUpdatedAt > 0 }, { cancelRefetch: false });
  }), [client]);
  useShortcuts(shown, () => setHelp(true), () => setPalette(true));
  useEffect(() => {
    const page = [...pages].reverse().find((p) => path.startsWith(p.to));
    document.title = one ? `${one} · Niyanta` : `${page?.name ?? "Niyanta"} · Niyanta`;
  }, [path, one]);

  return (
    <>
      <a className="skip" href="#main" onClick={(e) => { e.preventDefault(); main.current?.focus(); }}>Skip to content</a>
      <header className="top">
        <NavLink to="/" className="brand"><img src="/console/icon.svg" alt="" width="20" height="20" />Niyanta</NavLink>
        <nav aria-label="Pages">
          {shown.map((p) => (
            <NavLink key={p.to} to={p.to} end={p.to === "/"}>{p.name}</NavLink>
          ))}
        </nav>
        <Search />
        <LiveControl />
        <span className="who" title={`key ${session.key_name || session.key_id}`}>
          {session.customer_id && <span className="of">{session.customer_id}</span>}
          <span className="role">{session.role}</span>
        </span>
        <button className="quiet" disabled={leaving} onClick={() => void signOut()}>Sign out</button>
      </header>
      {stayed && <div className="banner" role="alert">You are still signed in: {stayed}</div>}
      <StaleBanner />
      <main id="main" ref={main} tabIndex={-1}>{children}</main>
      {palette && <Palette pages={shown} onClose={() => setPalette(false)} />}
      {help && <Help pages={shown} onClose={() => setHelp(false)} />}
    </>
  );
}

function Search() {
  const go = useNavigate();
  const [text, setText] = useState("");
  return (
    <form
      role="search"
      className="search"
      onSubmit={(e) => {
        e.preventDefault();
        const found = find(text);
        setText("");
        (document.activeElement as HTMLElement | null)?.blur();
        if ("id" in found) return go(`/workloads/${found.id}`);
        const query: Record<string, string> = "label" in found ? { label: found.label } : { q: found.text };
        return go(`/workloads${text.trim() ? `?${new URLSearchParams(query)}` : ""}`);
      }}
    >
      <input
        id="search" type="search" value={text} placeholder="Workload id or label" aria-label="Find a workload"
        onChange={(e) => setText(e.target.value)} autoComplete="off" spellCheck={false}
      />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

const words = { connecting: "Connecting", live: "Live", stale: "Stale", paused: "Paused", ended: "Ended" };

function LiveControl() {
  const state = useLiveState();
  const paused = state === "paused";
  return (
    <span className={`stream ${state}`}>
      <span className="dot" aria-hidden="true" />
      <span role="status">{words[state]}</span>
      {(paused || state === "live") && (
        <button className="quiet small" onClick={() => (paused ? live.resume() : live.pause())}>
          {paused ? "Resume" : "Pause"}
        </button>
      )}
    </span>
  );
}

function StaleBanner() {
  const state = useLiveState();
  if (state !== "stale") return null;
  return (
    <div className="banner" role="alert">
      No live events: the server cannot be reached. What you see may be old; it catches up by itself.
    </div>
  );
}

/** typing reports whether keys belong to a field. */
const typing = (e: KeyboardEvent) =>
  e.metaKey || e.ctrlKey || e.altKey ||
  (e.target instanceof HTMLElement && (e.target.matches("input, textarea, select") || !!e.target.closest("dialog")));

function useShortcuts(shown: Page[], help: () => void, palette: () => void) {
  const go = useNavigate();
  const ref = useRef({ shown, help, palette });
  ref.current = { shown, help, palette };
  useEffect(() => {
    let g = 0;
    const on = (e: KeyboardEvent) => {
      if (e.key === "k" && (e.ctrlKey || e.metaKey) && !e.altKey && !e.shiftKey && !document.querySelector("dialog[open]")) {
        e.preventDefault();
        ref.current.palette();
        return;
      }
      if (typing(e)) return;
      if (Date.now() - g < 1500) {
        g = 0;
        const page = ref.current.shown.find((p) => p.key === e.key);
        if (page) void go(page.to);
        return;
      }
      if (e.key === "g") g = Date.now();
      else if (e.key === "?") ref.current.help();
      else if (e.key === "/") {
        e.preventDefault();
        document.getElementById("search")?.focus();
      } else if (e.key === "j" || e.key === "k") {
        const rows = [...document.querySelectorAll<HTMLElement>("[data-row] a[data-open]")];
        const at = rows.indexOf(document.activeElement as HTMLElement);
        rows[Math.max(0, Math.min(rows.length - 1, at + (e.key === "j" ? 1 : -1)))]?.focus();
      }
    };
    window.addEventListener("keydown", on);
    return () => window.removeEventListener("keydown", on);
  }, [go]);
}

function Help({ pages, onClose }: { pages: Page[]; onClose: () => void }) {
  const keys: [string, string][] = [
    ["Ctrl-K", "go to a page, an id or a saved view"], ["/", "find a workload"], ["j  k", "next and previous row"], ["Enter", "open the row"], ["?", "this help"],
    ...pages.map((p): [string, string] => [`g ${p.key}`, p.name]),
  ];
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl className="keys">
        {keys.map(([k, what]) => <div key={k}><dt><kbd>{k}</kbd></dt><dd>{what}</dd></div>)}
      </dl>
      <div className="buttons"><button onClick={onClose}>Close</button></div>
    </Dialog>
  );
}
