import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { api, must } from "../api/client";
import type { BulkAnswer } from "../api/types";
import { selection, writeFilters, type Filters } from "../lib/filters";
import { useSession } from "../session";
import { Dialog, Failure, Loading } from "../ui/parts";

const actions = ["cancel", "pause", "resume", "retry"] as const;
type Action = (typeof actions)[number];

/** Target is what a batch operation is done to: rows that are selected, or all that match the filters. */
type Target = { workload_ids: string[] } | { filter: ReturnType<typeof selection> };

export function BulkBar({ selected, filters, clear }: { selected: string[]; filters: Filters; clear: () => void }) {
  const { admin } = useSession();
  const [all, setAll] = useState(false);
  const [action, setAction] = useState<Action>();
  useEffect(() => setAll(false), [filters]);
  const blocked = admin && !filters.customer;
  const target: Target = all ? { filter: selection(filters) } : { workload_ids: selected.slice(0, 1000) };
  return (
    <div className="bulk">
      <span className="num">
        {all ? "All that match" : selected.length ? `${selected.length.toLocaleString("en")} selected` : "None selected"}
      </span>
      {all || selected.length ? (
        <>
          {actions.map((a) => <button key={a} onClick={() => setAction(a)}>{name(a)}</button>)}
          <button className="quiet" onClick={() => { setAll(false); clear(); }}>Clear</button>
        </>
      ) : null}
      {!all && (
        <button
          className="quiet" disabled={blocked} onClick={() => setAll(true)}
          title={blocked ? "Filter by a customer first" : undefined}
        >
          Select all that match
        </button>
      )}
      {action && <BulkDialog action={action} target={target} filters={all ? filters : undefined} onClose={() => setAction(undefined)} />}
    </div>
  );
}

const name = (a: Action) => a.charAt(0).toUpperCase() + a.slice(1);

function send(action: Action, body: Target & { dry_run?: boolean; cursor?: string; reason?: string }, signal: AbortSignal) {
  const o = { body, signal };
  switch (action) {
    case "cancel": return must(api.POST("/v1/workloads/batch/cancel", o));
    case "pause": return must(api.POST("/v1/workloads/batch/pause", o));
    case "resume": return must(api.POST("/v1/workloads/batch/resume", o));
    case "retry": return must(api.POST("/v1/workloads/batch/retry", o));
  }
}

/** Tally sums up what became of workloads. */
interface Tally {
  done: number;
  refused: Map<string, number>;
}

function add(t: Tally, a: BulkAnswer): Tally {
  const refused = new Map(t.refused);
  let done = t.done;
  for (const r of a.results) {
    if (r.error) refused.set(r.error.message, (refused.get(r.error.message) ?? 0) + 1);
    else done++;
  }
  return { done, refused };
}

const none: Tally = { done: 0, refused: new Map() };

function BulkDialog({ action, target, filters, onClose }: {
  action: Action; target: Target; filters?: Filters; onClose: () => void;
}) {
  const client = useQueryClient();
  const [plan, setPlan] = useState<BulkAnswer>();
  const [counted, setCounted] = useState("");
  const [tally, setTally] = useState<Tally>();
  const [state, setState] = useState<"asking" | "going" | "over">("asking");
  const [error, setError] = useState<unknown>();
  const [reason, setReason] = useState("");
  const control = useRef(new AbortController());
  // What was counted is what is acted on, even if the page changes meanwhile.
  const fixed = useRef(target).current;

  useEffect(() => {
    const c = (control.current = new AbortController());
    send(action, { ...fixed, dry_run: true }, c.signal).then(
      (a) => { setPlan(a); setCounted(new Date().toLocaleTimeString("en-GB")); },
      (e: unknown) => !c.signal.aborted && setError(e),
    );
    return () => c.abort();
  }, [action, fixed]);

  const go = async () => {
    const c = (control.current = new AbortController());
    setState("going");
    let t = none;
    try {
      for (let cursor: string | undefined, more = true; more && !c.signal.aborted; ) {
        const a = await send(action, { ...fixed, cursor, ...(reason ? { reason } : {}) }, c.signal);
        t = add(t, a);
        setTally(t);
        cursor = a.pagination.next_cursor ?? undefined;
        more = cursor !== undefined;
      }
    } catch (e) {
      if (!c.signal.aborted) setError(e);
    }
    setState("over");
    void client.invalidateQueries({ queryKey: ["workloads"] });
  };

  const would = plan && add(none, plan);
  const matched = plan ? `${plan.matched_estimated ? "about " : ""}${plan.matched.toLocaleString("en")}` : "";
  const seen = tally ? tally.done + [...tally.refused.values()].reduce((a, b) => a + b, 0) : 0;
  return (
    <Dialog title={`${name(action)} workloads`} onClose={state === "going" ? () => {} : onClose}>
      {filters && (
        <div className="chips">
          {[...writeFilters({ ...filters, text: undefined, order: "created_at" })].map(([k, v]) => <span className="chip" key={k + v}>{k}: {v}</span>)}
          {!writeFilters({ ...filters, text: undefined, order: "created_at" }).size && <span className="chip">every workload</span>}
        </div>
      )}
      {error ? <Failure error={error} /> : !plan ? <Loading rows={2} /> : state === "asking" && (
        <>
          <p>
            <strong className="num">{matched}</strong> {plan.matched === 1 ? "workload matches" : "workloads match"}, counted
            at {counted}. {would && plan.pagination.has_more ? "Of the newest 1,000 of them" : "Of them"}{" "}
            <strong className="num">{would?.done.toLocaleString("en")}</strong> would {action}.
          </p>
          {would && <Refused of={would} />}
          {(action === "cancel" || action === "pause") && (
            <label className="wide"><span>Reason, kept in the audit trail</span>
              <input value={reason} maxLength={500} onChange={(e) => setReason(e.target.value)} />
            </label>
          )}
        </>
      )}
      {tally && (
        <>
          <p role="status">
            <strong className="num">{tally.done.toLocaleString("en")}</strong> done
            {state === "going" && plan && <>, {seen.toLocaleString("en")} of {matched} looked at</>}.
          </p>
          {state === "going" && plan && <progress max={plan.matched || 1} value={seen} aria-label="Progress" />}
          <Refused of={tally} />
        </>
      )}
      <div className="buttons">
        {state === "asking" && (
          <>
            <button onClick={onClose}>Leave as they are</button>
            <button className={action === "cancel" ? "danger" : "primary"} disabled={!plan || !would?.done && !plan.pagination.has_more} onClick={() => void go()}>
              {name(action)} {plan && !plan.pagination.has_more ? would?.done.toLocaleString("en") : matched}
            </button>
          </>
        )}
        {state === "going" && <button onClick={() => control.current.abort()}>Stop here</button>}
        {state === "over" && <button className="primary" onClick={onClose}>Close</button>}
      </div>
    </Dialog>
  );
}

function Refused({ of }: { of: Tally }) {
  if (!of.refused.size) return null;
  return (
    <ul className="refused">
      {[...of.refused].map(([why, n]) => <li key={why}><span className="num">{n.toLocaleString("en")}</span> not: {why}</li>)}
    </ul>
  );
}
