import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import { api, must } from "../api/client";
import type { BulkAnswer } from "../api/types";
import { selection, writeFilters, type Filters } from "../lib/filters";
import { number } from "../lib/format";
import { newKey } from "../lib/once";
import { behind } from "../lib/times";
import { useSession } from "../session";
import { Dialog, Failure, Loading } from "../ui/parts";

const actions = ["cancel", "pause", "resume", "retry"] as const;
type Action = (typeof actions)[number];

/** Target is what a batch operation is done to: rows that are selected, or all that match the filters. */
type Target = { workload_ids: string[] } | { filter: ReturnType<typeof selection> };

/** idLimit is how many ids a request takes. */
const idLimit = 1000;

export function BulkBar({ selected, filters, clear }: { selected: string[]; filters: Filters; clear: () => void }) {
  const { admin } = useSession();
  const [all, setAll] = useState(false);
  const [action, setAction] = useState<Action>();
  useEffect(() => setAll(false), [filters]);
  // The server knows no filter by text: it would act on more than what is listed.
  const obstacle = filters.text ? "A text filters only the rows that are loaded: select those, or take the text away"
    : admin && !filters.customer ? "Filter by a customer first" : undefined;
  const targets: Target[] = all ? [{ filter: selection(filters) }] : chunks(selected).map((workload_ids) => ({ workload_ids }));
  return (
    <div className="bulk">
      <span className="num">
        {all ? "All that match" : selected.length ? `${number(selected.length)} selected` : "None selected"}
      </span>
      {all || selected.length ? (
        <>
          {actions.map((a) => <button key={a} onClick={() => setAction(a)}>{name(a)}</button>)}
          <button className="quiet" onClick={() => { setAll(false); clear(); }}>Clear</button>
        </>
      ) : null}
      {!all && <button className="quiet" disabled={!!obstacle} onClick={() => setAll(true)} title={obstacle}>Select all that match</button>}
      {!all && obstacle && <span className="muted">{obstacle}.</span>}
      {action && <BulkDialog action={action} targets={targets} filters={all ? filters : undefined} onClose={() => setAction(undefined)} />}
    </div>
  );
}

function chunks(ids: string[]): string[][] {
  const out = [];
  for (let at = 0; at < ids.length; at += idLimit) out.push(ids.slice(at, at + idLimit));
  return out;
}

const name = (a: Action) => a.charAt(0).toUpperCase() + a.slice(1);

function send(
  action: Action, body: Target & { dry_run?: boolean; cursor?: string; reason?: string }, signal: AbortSignal, once?: string,
) {
  const o = { body, signal, params: { header: once ? { "Idempotency-Key": once } : {} } };
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
  refused: Map<string, Refusal>;
}

/** Refusal counts the workloads that were refused for one reason, and names the first of them. */
interface Refusal {
  count: number;
  first: string[];
}

/** named is how many workloads are named that were refused for one reason. */
const named = 5;

function add(t: Tally, a: BulkAnswer): Tally {
  const refused = new Map(t.refused);
  let done = t.done;
  for (const r of a.results) {
    if (!r.error) {
      done++;
      continue;
    }
    const known = refused.get(r.error.message) ?? { count: 0, first: [] };
    refused.set(r.error.message, {
      count: known.count + 1, first: r.workload_id && known.count < named ? [...known.first, r.workload_id] : known.first,
    });
  }
  return { done, refused };
}

const none: Tally = { done: 0, refused: new Map() };

/** Plan is what a dry run has found. more reports whether it looked at the first page only. */
interface Plan {
  matched: number;
  estimated: boolean;
  would: Tally;
  more: boolean;
  at: string;
}

/**
 * bounded ends a filter behind the newest workload that it matches now, by the server's time: what is submitted
 * while somebody reads what was counted is not acted on. It returns none if nothing matches.
 */
async function bounded(target: Target, admin: boolean, signal: AbortSignal): Promise<Target[]> {
  if (!("filter" in target)) return [target];
  const o = { params: { query: { ...target.filter, limit: 1 } }, signal };
  const { workloads: [newest] } = await (admin ? must(api.GET("/v1/admin/workloads", o)) : must(api.GET("/v1/workloads", o)));
  return newest ? [{ filter: { ...target.filter, created_before: behind(newest.created_at) } }] : [];
}

async function count(action: Action, targets: Target[], signal: AbortSignal): Promise<Plan> {
  let plan: Plan = { matched: 0, estimated: false, would: none, more: false, at: "" };
  for (const t of targets) {
    const a = await send(action, { ...t, dry_run: true }, signal);
    plan = {
      matched: plan.matched + a.matched, estimated: plan.estimated || a.matched_estimated, would: add(plan.would, a),
      more: plan.more || a.pagination.has_more, at: "",
    };
  }
  return { ...plan, at: new Date().toLocaleTimeString("en-GB") };
}

function BulkDialog({ action, targets, filters, onClose }: {
  action: Action; targets: Target[]; filters?: Filters; onClose: () => void;
}) {
  const client = useQueryClient();
  const [plan, setPlan] = useState<Plan>();
  const [tally, setTally] = useState<Tally>();
  const [state, setState] = useState<"asking" | "going" | "stopped" | "over">("asking");
  const [error, setError] = useState<unknown>();
  const [reason, setReason] = useState("");
  const control = useRef(new AbortController());
  const { admin } = useSession();
  // What was counted is what is acted on, even if the page changes meanwhile.
  const asked = useRef(targets).current;
  const counted = useRef<Target[]>([]);
  // next is where it goes on after an error or a stop. A page that is asked for again is done once.
  const next = useRef<{ target: number; cursor?: string; once: string; tally: Tally }>({ target: 0, once: newKey(), tally: none });

  useEffect(() => {
    const c = (control.current = new AbortController());
    const begin = async () => {
      const all = await Promise.all(asked.map((t) => bounded(t, admin, c.signal)));
      const found = await count(action, all.flat(), c.signal);
      if (c.signal.aborted) return;
      counted.current = all.flat();
      setPlan(found);
    };
    begin().catch((e: unknown) => !c.signal.aborted && setError(e));
    return () => control.current.abort();
  }, [action, admin, asked]);

  const go = async () => {
    const c = (control.current = new AbortController());
    setState("going");
    setError(undefined);
    const at = next.current;
    try {
      for (let t = counted.current[at.target]; t; t = counted.current[at.target]) {
        const a = await send(action, { ...t, cursor: at.cursor, ...(reason ? { reason } : {}) }, c.signal, at.once);
        at.once = newKey();
        at.tally = add(at.tally, a);
        at.cursor = a.pagination.next_cursor ?? undefined;
        if (!at.cursor) at.target++;
        setTally(at.tally);
      }
      setState("over");
    } catch (e) {
      if (!c.signal.aborted) setError(e);
      setState("stopped");
    }
    void client.invalidateQueries({ queryKey: ["workloads"] });
  };

  const matched = plan ? `${plan.estimated ? "about " : ""}${number(plan.matched)}` : "";
  const seen = tally ? tally.done + [...tally.refused.values()].reduce((n, r) => n + r.count, 0) : 0;
  const chips = filters && [...writeFilters({ ...filters, order: "created_at" })];
  return (
    <Dialog title={`${name(action)} workloads`} onClose={state === "going" ? () => {} : onClose}>
      {chips && (
        <div className="chips">
          {chips.map(([k, v]) => <span className="chip" key={k + v}>{k}: {v}</span>)}
          {!chips.length && <span className="chip">every workload</span>}
        </div>
      )}
      {!plan ? (error ? <Failure error={error} /> : <Loading rows={2} />) : state === "asking" && (
        <>
          <p>
            <strong className="num">{matched}</strong> {plan.matched === 1 ? "workload matches" : "workloads match"}, counted
            at {plan.at}. {plan.more ? "Of the newest 1,000 of them" : "Of them"}{" "}
            <strong className="num">{number(plan.would.done)}</strong> would {action}.
          </p>
          <Refused of={plan.would} />
          {(action === "cancel" || action === "pause") && (
            <label className="wide"><span>Reason, kept in the audit trail</span>
              <input value={reason} maxLength={500} onChange={(e) => setReason(e.target.value)} />
            </label>
          )}
        </>
      )}
      {plan && state !== "asking" && (
        <>
          <p role="status">
            <strong className="num">{number(tally?.done ?? 0)}</strong> done
            {state !== "over" && <>, {number(seen)} of {matched} looked at</>}.
            {state === "stopped" && " It has stopped. What was asked for last may still be done."}
          </p>
          {state !== "over" && <progress max={Math.max(plan.matched, seen, 1)} value={seen} aria-label="Progress" />}
          {tally && <Refused of={tally} />}
          {error !== undefined && <Failure error={error} />}
        </>
      )}
      <div className="buttons">
        {state === "asking" && (
          <>
            <button onClick={onClose}>Leave as they are</button>
            <button className={action === "cancel" ? "danger" : "primary"} disabled={!plan || (!plan.would.done && !plan.more)} onClick={() => void go()}>
              {name(action)} {plan && (plan.more ? matched : number(plan.would.done))}
            </button>
          </>
        )}
        {state === "going" && <button onClick={() => control.current.abort()}>Stop here</button>}
        {state === "stopped" && <button onClick={() => void go()}>Go on</button>}
        {(state === "stopped" || state === "over") && <button className="primary" onClick={onClose}>Close</button>}
      </div>
    </Dialog>
  );
}

function Refused({ of }: { of: Tally }) {
  if (!of.refused.size) return null;
  return (
    <ul className="refused">
      {[...of.refused].map(([why, { count: n, first }]) => (
        <li key={why}>
          <span className="num">{number(n)}</span> not: {why}{" "}
          {first.map((id) => <Link key={id} className="mono" to={`/workloads/${id}`} target="_blank">{id} </Link>)}
          {n > first.length && `and ${number(n - first.length)} more`}
        </li>
      ))}
    </ul>
  );
}
