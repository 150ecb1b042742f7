import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { Link } from "react-router";
import { config, lanes, listOf, ownCustomer, queueDepth, ready, series, statistics, workers } from "../api/queries";
import type { CustomerStats, Lane, QueueDepth, Unplaceable, Waited } from "../api/types";
import { stuckItems } from "../lib/stuck";
import { writeFilters, type Filters } from "../lib/filters";
import { duration, number } from "../lib/format";
import { useSession } from "../session";
import { Empty, Loaded, Meter, Scroll, State, useNowOf } from "../ui/parts";
import { condition } from "./workers";
import { Recently } from "./recently";

const Chart = lazy(() => import("../ui/chart"));

export function Overview() {
  const { admin } = useSession();
  const queue = useQuery(queueDepth());
  return (
    <>
      <h1>Overview</h1>
      {admin ? <Attention /> : <OwnAttention />}
      <Loaded of={queue} rows={3}>{(q) => <><Tiles q={q} /><Recently /><Depth q={q} /></>}</Loaded>
      {admin ? <Fleet /> : <><Limits /><History /></>}
    </>
  );
}

function Failed() {
  const s = useQuery(series(60));
  return (
    <Link className="tile" to="/workloads?status=FAILED&order=updated_at">
      <span>Failed in the last hour</span>
      <strong className="num">{s.data ? number(s.data.points.reduce((n, p) => n + p.failed, 0)) : "–"}</strong>
    </Link>
  );
}

function Tiles({ q }: { q: QueueDepth }) {
  const wait = q.oldest_wait_seconds;
  return (
    <div className="tiles">
      <Link className="tile" to="/workloads?status=PENDING&status=REDISTRIBUTING"><span>Waiting</span><strong className="num">{number(q.queue_depth)}</strong></Link>
      <Link className="tile" to="/workloads?status=RUNNING&status=SCHEDULED"><span>Running</span><strong className="num">{number(q.running_workloads)}</strong></Link>
      <Link className="tile" to="/queues"><span>Oldest wait</span><strong className="num">{wait === undefined ? "–" : duration(wait * 1000)}</strong></Link>
      <Failed />
    </div>
  );
}

export function Depth({ q }: { q: QueueDepth }) {
  const groups: [string, { name: string; queue_depth: number; running_workloads: number; oldest_wait_seconds?: number; waited?: Waited; unplaceable?: Unplaceable; to?: string }[]][] = [];
  if (q.by_tier) groups.push(["Tier", q.by_tier.map((t) => ({ ...t, name: t.tier }))]);
  groups.push(["Type", q.by_workload_type.slice(0, 12).map((t) => ({ ...t, name: t.workload_type, to: `/workloads?${new URLSearchParams({ type: t.workload_type })}` }))]);
  return (
    <div className="pair">
      {groups.map(([what, rows]) => (
        <section key={what}>
          <h2>By {what.toLowerCase()}</h2>
          {!rows.length ? <Empty title="Nothing waits or runs" /> : (
            <Scroll label={`By ${what.toLowerCase()}`}><table>
              <thead><tr>
                <th>{what}</th><th className="r">Waiting</th><th className="r">Oldest</th><th className="r">Running</th>
                {what === "Tier" && <><th className="r">Waited p50</th><th className="r">p95</th><th className="r">p99</th></>}
              </tr></thead>
              <tbody>
                {rows.map((r) => (
                  <tr key={r.name}>
                    <td>
                      {r.to ? <Link to={r.to}>{r.name}</Link> : r.name}
                      {r.unplaceable && <> · <Link to={`/workloads/${r.unplaceable.first_workload_id}`}>{number(r.unplaceable.queue_depth)} that no worker can run</Link></>}
                    </td>
                    <td className="r num">{number(r.queue_depth)}</td>
                    <td className="r num">{r.oldest_wait_seconds === undefined ? "–" : duration(r.oldest_wait_seconds * 1000)}</td>
                    <td className="r num">{number(r.running_workloads)}</td>
                    {what === "Tier" && (["p50_seconds", "p95_seconds", "p99_seconds"] as const).map((p) => (
                      <td key={p} className="r num" title={waitedOf(r.waited)}>{r.waited ? duration(r.waited[p] * 1000) : "–"}</td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table></Scroll>
          )}
        </section>
      ))}
    </div>
  );
}

/** waitedOf says what the quantiles are of. */
const waitedOf = (w?: Waited) =>
  w ? `Of ${number(w.placed)} placed in the last ${duration(w.window_seconds * 1000)}, until they were` : "None was placed in the last 5 minutes";

/** Item is something that needs attention, and the page that says more. */
type Item = [what: string, to: string];

/** Attention links to what an operator should look at. */
function Attention() {
  const fleet = useQuery(workers());
  const state = useQuery(ready());
  const stuck = useInfiniteQuery(lanes({ blocked: true }));
  const now = useNowOf(fleet.dataUpdatedAt);
  const items: Item[] = blockedItems(stuck.data?.pages[0]?.lanes ?? [], !!stuck.hasNextPage);
  const poison = useQuarantined();
  if (poison) items.push(poison);
  const counts = new Map<string, number>();
  for (const w of fleet.data ?? []) counts.set(condition(w, now), (counts.get(condition(w, now)) ?? 0) + 1);
  const workersThat = (is: string, words: (n: number) => string) => {
    const n = counts.get(is);
    if (n) items.push([words(n), `/workers?status=${is}`]);
  };
  if (fleet.data && !counts.get("HEALTHY")) items.push(["No worker takes work", "/workers"]);
  workersThat("LATE", (n) => `${number(n)} ${n === 1 ? "worker is" : "workers are"} late`);
  workersThat("STUCK", (n) => `${number(n)} ${n === 1 ? "worker has" : "workers have"} a run that does not end`);
  workersThat("DEAD", (n) => `${number(n)} ${n === 1 ? "worker is" : "workers are"} dead`);
  workersThat("DRAINING", (n) => `${number(n)} ${n === 1 ? "worker drains" : "workers drain"}`);
  if (state.data && state.data.status !== "ready") items.push([`This coordinator is ${state.data.status}`, "/settings"]);
  return <Needs items={items} known={fleet.isSuccess && stuck.isSuccess} />;
}

/** blockedItems says what the blocked lanes wait for. more reports that there are others. */
function blockedItems(blocked: Lane[], more: boolean): Item[] {
  const items: Item[] = [];
  const about = (l: Lane, code: string) => l.reasons.some((r) => r.code === code);
  const stuck = blocked.filter((l) => !about(l, "customer_limit") && !about(l, "customer_suspended"));
  const n = stuck.reduce((sum, l) => sum + l.queue_depth, 0);
  const [first] = stuck;
  if (first) {
    const inexact = more || stuck.some((l) => l.queue_depth_estimated) ? "At least " : "";
    items.push([
      `${inexact}${number(n)} that no worker can run`,
      stuck.length === 1 && n === 1 ? `/workloads/${first.first_workload_id}` : "/queues?blocked=true",
    ]);
  }
  const customers = (code: string, one: string, many: string) => {
    const ids = [...new Set(blocked.filter((l) => about(l, code)).map((l) => l.customer_id))];
    if (ids[0]) items.push(ids.length === 1 ? [`${ids[0]} ${one}`, `/customers/${ids[0]}`] : [`${ids.length} customers ${many}`, "/queues?blocked=true"]);
  };
  customers("customer_limit", "is at its limit", "are at their limits");
  customers("customer_suspended", "waits while it is suspended", "wait while they are suspended");
  return items;
}

/** useQuarantined counts what was quarantined lately. It is asked only if something failed in the last hour. */
function useQuarantined(): Item | undefined {
  const { admin } = useSession();
  const hour = useQuery(series(60));
  const failed = (hour.data?.points ?? []).some((p) => p.failed > 0);
  const f: Filters = { status: ["FAILED"], label: [], order: "updated_at" };
  const list = useInfiniteQuery({ ...listOf(f, admin), enabled: failed, refetchInterval: 60_000 });
  const n = (list.data?.pages[0]?.workloads ?? []).filter((w) => w.error_type === "poison").length;
  return n ? [`${number(n)} quarantined: their workers died`, `/workloads?${writeFilters({ ...f, text: "poison" })}`] : undefined;
}

function OwnAttention() {
  const c = useQuery(ownCustomer());
  const depth = useQuery(queueDepth());
  const poison = useQuarantined();
  const items: Item[] = stuckItems(depth.data?.by_workload_type ?? []);
  if (c.data) {
    const { limits, usage, suspended_at } = c.data;
    if (suspended_at) items.push(["The customer is suspended: nothing new is placed", "/workloads?status=PENDING"]);
    if (usage.current_running_workloads >= limits.max_concurrent_workloads) items.push(["At the limit of running workloads", "/workloads?status=PENDING"]);
    if (usage.current_queue_depth >= limits.max_queue_depth) items.push(["The queue is full: submissions are refused", "/workloads?status=PENDING"]);
  }
  if (poison) items.push(poison);
  return <Needs items={items} known={c.isSuccess && depth.isSuccess} />;
}

function Needs({ items, known }: { items: Item[]; known: boolean }) {
  return (
    <div className={`needs ${items.length ? "some" : ""}`} role="status">
      {items.length ? items.map(([what, to]) => <Link key={what} to={to}>{what} ›</Link>)
        : <span className="muted">{known ? "Nothing needs attention." : "Looking."}</span>}
    </div>
  );
}

function Fleet() {
  const fleet = useQuery(workers());
  const c = useQuery(config());
  const now = useNowOf(fleet.dataUpdatedAt);
  return (
    <section>
      <h2>Fleet</h2>
      <Loaded of={fleet} rows={2}>
        {(all) => {
          const counts: Record<string, number> = { HEALTHY: 0, LATE: 0, STUCK: 0, DRAINING: 0, DEAD: 0 };
          for (const w of all) counts[condition(w, now)] = (counts[condition(w, now)] ?? 0) + 1;
          const alive = all.filter((w) => w.status !== "DEAD");
          return (
            <>
              <div className="meta">
                {Object.entries(counts).filter(([s, n]) => n || s === "HEALTHY").map(([s, n]) => (
                  <Link key={s} to={`/workers?status=${s}`}><State of={s}>{n} {s.toLowerCase()}</State></Link>
                ))}
                {c.data && (c.data.leader
                  ? <span>Led by <Link className="mono" to="/settings">{c.data.leader}</Link>{c.data.leader === c.data.name && ", which serves this page"}</span>
                  : <State of="FAILED">No coordinator leads: nothing is placed</State>)}
              </div>
              <div className="meters">
                <Meter label="Slots" used={alive.reduce((n, w) => n + w.capacity_used, 0)} of={alive.reduce((n, w) => n + w.capacity_total, 0)} />
              </div>
            </>
          );
        }}
      </Loaded>
    </section>
  );
}

function Limits() {
  return (
    <section>
      <h2>Limits</h2>
      <Loaded of={useQuery(ownCustomer())} rows={2}>
        {({ usage, limits, tier }) => (
          <>
            <div className="meters">
              <Meter label="Running" used={usage.current_running_workloads} of={limits.max_concurrent_workloads} />
              <Meter label="Waiting" used={usage.current_queue_depth} of={limits.max_queue_depth} />
            </div>
            <p className="muted num">{number(usage.workloads_today)} submitted since midnight UTC · tier {tier}</p>
          </>
        )}
      </Loaded>
    </section>
  );
}

function History() {
  return (
    <section>
      <h2>Finished in the last 3 days</h2>
      <Loaded of={useQuery(statistics(3))} rows={5}>{(s) => <Finished of={s} />}</Loaded>
    </section>
  );
}

/** Finished draws what finished by hour. */
export function Finished({ of: s }: { of: CustomerStats }) {
  const hours = s.by_hour ?? [];
  const { total_workloads: total, failed_workloads: failed } = s.summary;
  if (!hours.length) return <Empty title="Nothing has finished yet" />;
  return (
    <>
      <p className="muted num">{number(total)} finished, {number(failed)} failed · by hour</p>
      <Suspense fallback={<div className="chart" />}>
        <Chart
          label={`Finished workloads by hour: ${total}, of which ${failed} failed`}
          from={Date.parse(s.start_date) / 1000} to={Math.ceil(Date.now() / 3_600_000) * 3_600} step={3_600}
          at={hours.map((h) => Date.parse(h.hour) / 1000)}
          series={[
            { name: "finished", values: hours.map((h) => h.count), color: "--s-completed" },
            { name: "failed", values: hours.map((h) => Math.round(h.count * h.failure_rate)), color: "--s-failed" },
          ]}
        />
      </Suspense>
    </>
  );
}
