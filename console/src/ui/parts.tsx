import { useEffect, useId, useRef, useState, useSyncExternalStore, type ReactNode } from "react";
import { Link } from "react-router";
import { ApiError } from "../api/client";
import type { Status } from "../api/types";
import { plain } from "../lib/ansi";
import { serverTime } from "../lib/clock";
import { ago, local } from "../lib/format";

// What stands before a status: a mark of its own for each, so that colour is never all that tells.
const marks: Record<string, string> = {
  PENDING: "○", SCHEDULED: "◔", RUNNING: "▶", REDISTRIBUTING: "⟳", PAUSED: "‖", COMPLETED: "✓", FAILED: "✕",
  CANCELLED: "⊘", HEALTHY: "●", DRAINING: "◐", DEAD: "✕", LATE: "!", STUCK: "∞", ACTIVE: "●", SUSPENDED: "‖", BLOCKED: "✕", DELETING: "⊘",
};

/** State shows a status as mark and word. */
export function State({ of, children }: { of: Status | string; children?: ReactNode }) {
  return (
    <span className={`state s-${of.toLowerCase()}`}>
      <span className="mark" aria-hidden="true">{marks[of] ?? "•"}</span>
      {children ?? of.charAt(0) + of.slice(1).toLowerCase()}
    </span>
  );
}

let second = serverTime();
const seconds = new Set<() => void>();
let ticking: ReturnType<typeof setInterval> | undefined;
const subscribe = (l: () => void) => {
  seconds.add(l);
  ticking ??= setInterval(() => {
    second = serverTime();
    for (const each of seconds) each();
  }, 1000);
  return () => {
    seconds.delete(l);
    if (!seconds.size) {
      clearInterval(ticking);
      ticking = undefined;
    }
  };
};

/** useNow is the server's time, to the second. */
export const useNow = () => Math.max(useSyncExternalStore(subscribe, () => second), 0);

/** useNowOf is the server's time, as far as what was read at a time of the browser says something about it. */
export const useNowOf = (readAt: number) => Math.min(useNow(), serverTime(readAt) + 10_000);

/** Time shows when something was: relative beside absolute, UTC on hover. */
export function Time({ at, short }: { at?: string | null; short?: boolean }) {
  const now = useNow();
  if (!at) return <span className="muted">–</span>;
  const ms = Date.parse(at);
  return (
    <time dateTime={at} title={at} className="num">
      {short ? ago(ms, now) : <>{local(ms)} <span className="muted">{ago(ms, now)}</span></>}
    </time>
  );
}

/** Progress shows a share as bar and number. */
export function Progress({ percent, done }: { percent: number; done?: boolean }) {
  const shown = Math.max(0, Math.min(100, percent));
  return (
    <span className="progress num">
      <span className={done ? "bar done" : "bar"} aria-hidden="true">
        <span style={{ transform: `scaleX(${shown / 100})` }} />
      </span>
      {shown < 100 && shown > 99 ? 99 : Math.round(shown)}%
    </span>
  );
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Browsers offer the clipboard over TLS and on the own machine only.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    setDone(true);
    setTimeout(() => setDone(false), 1200);
  };
  return (
    <button type="button" className="quiet small" onClick={() => void copy()}>
      <span aria-live="polite">{done ? "Copied" : label}</span>
    </button>
  );
}

/** Failure says what went wrong and offers to try again. It looks different from an empty list. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const e = error instanceof ApiError ? error : new ApiError(0, "UNKNOWN", String(error));
  const title =
    e.status === 403 ? "This key may not see this" : e.status === 404 ? "There is no such thing" : "This could not be loaded";
  return (
    <div className="notice bad" role="alert">
      <strong>{title}</strong>
      <p>{e.status === 404 ? "It never existed, was removed, or belongs to another customer." : e.message}</p>
      <p className="muted">{e.code}{e.requestID && <> · request <code>{e.requestID}</code></>}</p>
      {retry && e.status !== 403 && e.status !== 404 && <button onClick={retry}>Try again</button>}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="notice">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}

interface Result<T> {
  data: T | undefined;
  error: unknown;
  dataUpdatedAt: number;
  refetch: () => unknown;
}

/** Loaded shows what was read. What could be read before stays when it cannot be read again. */
export function Loaded<T>({ of, rows, children }: { of: Result<T>; rows?: number; children: (data: T) => ReactNode }) {
  const retry = () => void of.refetch();
  if (of.data === undefined) return of.error ? <Failure error={of.error} retry={retry} /> : <Loading rows={rows} />;
  return (
    <>
      {of.error ? <Outdated at={of.dataUpdatedAt} error={of.error} retry={retry} /> : null}
      {children(of.data)}
    </>
  );
}

/** Outdated says from when what is shown is. */
function Outdated({ at, error, retry }: { at: number; error: unknown; retry: () => void }) {
  const e = error instanceof ApiError ? error : new ApiError(0, "UNKNOWN", String(error));
  return (
    <p className="outdated" role="status">
      This is from {local(at)}: {e.message}{e.requestID && <> Request <code>{e.requestID}</code>.</>}{" "}
      <button className="quiet small" onClick={retry}>Try again</button>
    </p>
  );
}

/** Loading keeps the place of what comes. */
export function Loading({ rows = 6 }: { rows?: number }) {
  return (
    <div className="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, i) => <span key={i} />)}
    </div>
  );
}

/** Dialog asks. It is the browser's own, which keeps the focus inside and closes on Escape. */
export function Dialog({ title, onClose, wide, children }: { title: string; onClose: () => void; wide?: boolean; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const d = ref.current;
    d?.showModal();
    return () => d?.close();
  }, []);
  return (
    <dialog ref={ref} className={wide ? "broad" : undefined} aria-labelledby={id} onCancel={(e) => { e.preventDefault(); onClose(); }}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  );
}

/** Scroll lets something wide scroll by itself, with the keyboard too. */
export function Scroll({ label, children }: { label: string; children: ReactNode }) {
  return <div className="scroll" role="region" aria-label={label} tabIndex={0}>{children}</div>;
}

/** Facts is a list of names and values. */
export function Facts({ of }: { of: [string, ReactNode][] }) {
  return (
    <dl className="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? <span className="muted">–</span>}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Labels({ of }: { of: Record<string, string> }) {
  return (
    <>
      {Object.entries(of).map(([k, v]) => (
        <Link key={k} className="chip" to={`/workloads?${new URLSearchParams({ label: `${k}=${v}` })}`}>{plain(`${k}=${v}`)}</Link>
      ))}
    </>
  );
}

/** Meter shows how much of a limit is used. */
export function Meter({ used, of, label }: { used: number; of: number; label: string }) {
  const share = of > 0 ? Math.min(1, used / of) : 0;
  return (
    <div className={`meter ${share >= 1 ? "full" : share >= 0.8 ? "high" : ""}`}>
      <span>{label}</span>
      <span className="num">{used.toLocaleString("en")}<span className="muted"> / {of.toLocaleString("en")}</span></span>
      <span className="bar" aria-hidden="true"><span style={{ transform: `scaleX(${share})` }} /></span>
    </div>
  );
}

/** Field is a filter that holds when Enter is pressed or the field is left, or with live as it is typed. */
export function Field({ label, value = "", hint, live, set }: {
  label: string; value?: string; hint?: string; live?: boolean; set: (v: string | undefined) => void;
}) {
  const [text, setText] = useState(value);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    // What is typed is ahead of the address.
    if (!live || document.activeElement !== input.current) setText(value);
  }, [value, live]);
  const apply = () => {
    if (text.trim() !== value) set(text.trim() || undefined);
    if (value === "" && label.startsWith("Add")) setText("");
  };
  return (
    <label>
      <span>{label}</span>
      <input
        ref={input} value={text} placeholder={hint} spellCheck={false} onBlur={apply}
        onChange={(e) => { setText(e.target.value); if (live) set(e.target.value || undefined); }}
        onKeyDown={(e) => e.key === "Enter" && apply()}
      />
    </label>
  );
}
