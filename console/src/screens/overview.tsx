import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { Link } from "react-router";
import { ownCustomer, queueDepth, ready, statistics, workers } from "../api/queries";
import type { QueueDepth, Worker } from "../api/types";
import { duration, number } from "../lib/format";
import { useSession } from "../session";
import { Empty, Failure, Loading, Meter, State, useNow } from "../ui/parts";
import { late } from "./workers";
import { Recently } from "./recently";

const Chart = lazy(() => import("../ui/chart"));

export function Overview() {
  const { admin } = useSession();
  const queue = useQuery(queueDepth());
  return (
    <>
      <h1>Overview</h1>
      {admin ? <Attention /> : <OwnAttention />}
      {queue.isPending ? <Loading rows={3} />
        : queue.isError ? <Failure error={queue.error} retry={() => void queue.refetch()} />
          : <><Tiles q={queue.data} admin={admin} /><Recently /><Depth q={queue.data} /></>}
      {admin ? <Fleet /> : <><Limits /><History /></>}
    </>
  );
}

function FailedToday() {
  const s = useQuery(statistics(1));
  return (
    <Link className="tile" to="/workloads?status=FAILED&order=updated_at">
      <span>Failed today (UTC)</span><strong className="num">{s.data ? number(s.data.summary.failed_workloads) : "–"}</strong>
    </Link>
  );
}

function Tiles({ q, admin }: { q: QueueDepth; admin: boolean }) {
  const wait = q.oldest_wait_seconds;
  return (
    <div className="tiles">
      <Link className="tile" to="/workloads?status=PENDING&status=REDISTRIBUTING"><span>Waiting</span><strong className="num">{number(q.queue_depth)}</strong></Link>
      <Link className="tile" to="/workloads?status=RUNNING&status=SCHEDULED"><span>Running</span><strong className="num">{number(q.running_workloads)}</strong></Link>
      <Link className="tile" to="/queues"><span>Oldest wait</span><strong className="num">{wait === undefined ? "–" : duration(wait * 1000)}</strong></Link>
      {!admin && <FailedToday />}
    </div>
  );
}

export function Depth({ q }: { q: QueueDepth }) {
  const groups: [string, { name: string; queue_depth: number; running_workloads: number; oldest_wait_seconds?: number; to?: string }[]][] = [];
  if (q.by_tier) groups.push(["Tier", q.by_tier.map((t) => ({ ...t, name: t.tier }))]);
  groups.push(["Type", q.by_workload_type.slice(0, 12).map((t) => ({ ...t, name: t.workload_type, to: `/workloads?${new URLSearchParams({ type: t.workload_type })}` }))]);
  return (
    <div className="pair">
      {groups.map(([what, rows]) => (
        <section key={what}>
          <h2>By {what.toLowerCase()}</h2>
          {!rows.length ? <Empty title="Nothing waits or runs" /> : (
            <table>
              <thead><tr><th>{what}</th><th className="r">Waiting</th><th className="r">Oldest</th><th className="r">Running</th></tr></thead>
              <tbody>
                {rows.map((r) => (
                  <tr key={r.name}>
                    <td>{r.to ? <Link to={r.to}>{r.name}</Link> : r.name}</td>
                    <td className="r num">{number(r.queue_depth)}</td>
                    <td className="r num">{r.oldest_wait_seconds === undefined ? "–" : duration(r.oldest_wait_seconds * 1000)}</td>
                    <td className="r num">{number(r.running_workloads)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </section>
      ))}
    </div>
  );
}

/** Attention links to what an operator should look at. */
function Attention() {
  const fleet = useQuery(workers());
  const state = useQuery(ready());
  const now = useNow();
  const items: [string, string][] = [];
  const of = (test: (w: Worker) => boolean) => (fleet.data ?? []).filter(test).length;
  const slow = of((w) => late(w, now));
  const dead = of((w) => w.status === "DEAD");
  const drains = of((w) => w.status === "DRAINING");
  const stuck = of((w) => w.ending_runs.some((r) => r.ending_for_seconds > 10));
  if (fleet.data && !of((w) => w.status === "HEALTHY")) items.push(["No worker takes work", "/workers"]);
  if (slow) items.push([`${slow} late`, "/workers"]);
  if (dead) items.push([`${dead} dead`, "/workers?status=DEAD"]);
  if (stuck) items.push([`${stuck} with runs that do not end`, "/workers"]);
  if (drains) items.push([`${drains} draining`, "/workers?status=DRAINING"]);
  if (state.data && state.data.status !== "ready") items.push([`This coordinator is ${state.data.status}`, "/settings"]);
  return <Needs items={items} known={fleet.isSuccess} />;
}

function OwnAttention() {
  const c = useQuery(ownCustomer());
  const items: [string, string][] = [];
  if (c.data) {
    const { limits, usage, suspended_at } = c.data;
    if (suspended_at) items.push(["The customer is suspended: nothing new is placed", "/settings"]);
    if (usage.current_running_workloads >= limits.max_concurrent_workloads) items.push(["At the limit of running workloads", "/workloads?status=PENDING"]);
    if (usage.current_queue_depth >= limits.max_queue_depth) items.push(["The queue is full: submissions are refused", "/workloads?status=PENDING"]);
  }
  return <Needs items={items} known={c.isSuccess} />;
}

function Needs({ items, known }: { items: [string, string][]; known: boolean }) {
  return (
    <div className={`needs ${items.length ? "some" : ""}`} role="status">
      {items.length ? items.map(([what, to]) => <Link key={what} to={to}>{what} ›</Link>)
        : <span className="muted">{known ? "Nothing needs attention." : "Looking."}</span>}
    </div>
  );
}

function Fleet() {
  const fleet = useQuery(workers());
  const state = useQuery(ready());
  const now = useNow();
  if (fleet.isPending) return <Loading rows={2} />;
  if (fleet.isError) return <Failure error={fleet.error} retry={() => void fleet.refetch()} />;
  const alive = fleet.data.filter((w) => w.status !== "DEAD");
  const counts = { HEALTHY: 0, LATE: 0, DRAINING: 0, DEAD: 0 };
  for (const w of fleet.data) counts[late(w, now) ? "LATE" : w.status]++;
  return (
    <section>
      <h2>Fleet</h2>
      <div className="meta">
        {Object.entries(counts).filter(([s, n]) => n || s === "HEALTHY").map(([s, n]) => <State key={s} of={s}>{n} {s.toLowerCase()}</State>)}
        {state.data && <span className="muted">{state.data.is_leader ? "This coordinator leads" : "Another coordinator leads"}</span>}
      </div>
      <div className="meters">
        <Meter label="Slots" used={alive.reduce((n, w) => n + w.capacity_used, 0)} of={alive.reduce((n, w) => n + w.capacity_total, 0)} />
      </div>
    </section>
  );
}

function Limits() {
  const c = useQuery(ownCustomer());
  if (c.isPending) return <Loading rows={2} />;
  if (c.isError) return <Failure error={c.error} retry={() => void c.refetch()} />;
  return (
    <section>
      <h2>Limits</h2>
      <div className="meters">
        <Meter label="Running" used={c.data.usage.current_running_workloads} of={c.data.limits.max_concurrent_workloads} />
        <Meter label="Waiting" used={c.data.usage.current_queue_depth} of={c.data.limits.max_queue_depth} />
      </div>
      <p className="muted num">{number(c.data.usage.workloads_today)} submitted since midnight UTC · tier {c.data.tier}</p>
    </section>
  );
}

function History() {
  const s = useQuery(statistics(3));
  if (s.isPending) return <Loading rows={5} />;
  if (s.isError) return <Failure error={s.error} retry={() => void s.refetch()} />;
  const hours = s.data.by_hour ?? [];
  const { total_workloads: total, failed_workloads: failed } = s.data.summary;
  return (
    <section>
      <h2>Finished in the last 3 days</h2>
      {!hours.length ? <Empty title="Nothing has finished yet" /> : (
        <>
          <p className="muted num">{number(total)} finished, {number(failed)} failed · by hour</p>
          <Suspense fallback={<div className="chart" />}>
            <Chart
              label={`Finished workloads by hour: ${total}, of which ${failed} failed`}
              from={Date.parse(s.data.start_date) / 1000} to={Math.ceil(Date.now() / 3_600_000) * 3_600} step={3_600}
              at={hours.map((h) => Date.parse(h.hour) / 1000)}
              series={[
                { name: "finished", values: hours.map((h) => h.count), color: "--s-completed" },
                { name: "failed", values: hours.map((h) => Math.round(h.count * h.failure_rate)), color: "--s-failed" },
              ]}
            />
          </Suspense>
        </>
      )}
    </section>
  );
}
