import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef } from "react";
import { Link, useParams } from "react-router";
import { readAgain } from "../../api/again";
import { live } from "../../api/live";
import { audit, checkpoints, logs, streamed, workload, type Exact, type Line } from "../../api/queries";
import { isFinal, type AuditEvent, type LiveEvent } from "../../api/types";
import { plain } from "../../lib/ansi";
import { duration } from "../../lib/format";
import type { Json } from "../../lib/json";
import { joined, torn } from "../../lib/lines";
import { requested } from "../../lib/resources";
import { patch } from "../../lib/rows";
import { attempts } from "../../lib/timeline";
import { put, useAddress } from "../../ui/address";
import { Copy, Facts, Labels, Loaded, Progress, Scroll, State, Time } from "../../ui/parts";
import { Tree } from "../../ui/tree";
import { Actions } from "./actions";
import { Checkpoints } from "./checkpoints";
import { Log } from "./log";
import { ProgressChart } from "./progress";
import { Timeline } from "./timeline";
import { Why } from "./why";

const tabs = ["logs", "data", "checkpoints", "audit", "details"] as const;
type Tab = (typeof tabs)[number];
const tabNames: Record<Tab, string> = {
  logs: "Log", data: "Input, result", checkpoints: "Checkpoints", audit: "Audit", details: "Details",
};

export function Workload() {
  const { id = "" } = useParams();
  useFollow(id);
  const w = useQuery(workload(id));
  const trail = useQuery(audit(id));
  const rows = useMemo(() => attempts(trail.data?.events ?? []), [trail.data]);
  return (
    <Loaded of={w} rows={10}>
      {(d) => (
        <>
          <Head w={d} />
          {(d.status === "PENDING" || d.status === "REDISTRIBUTING") && <Why id={id} customer={d.customer_id} type={d.workload_type} />}
          {d.error_message && (
            <section className="notice bad">
              <strong>{plain(d.error_type ?? "error")}</strong>
              <pre>{plain(d.error_message)}</pre>
            </section>
          )}
          <section aria-labelledby="timeline">
            <h2 id="timeline">Timeline</h2>
            <Loaded of={trail} rows={2}>{() => <Timeline attempts={rows} over={isFinal(d.status)} />}</Loaded>
            {trail.data?.more && <p className="muted">Only the first 5,000 events are shown.</p>}
          </section>
          {trail.data && <ProgressChart events={trail.data.events} over={isFinal(d.status)} />}
          <Tabs w={d} />
        </>
      )}
    </Loaded>
  );
}

/** useFollow keeps the page's queries current by the workload's stream. */
function useFollow(id: string) {
  const client = useQueryClient();
  const due = useRef<ReturnType<typeof setTimeout>>(undefined);
  // saved tells that a checkpoint was saved since the last look.
  const saved = useRef(false);
  useEffect(() => {
    const stop = live.listen((events) => {
      const mine = events.filter((e) => e.workload_id === id);
      const lines = mine.filter((e) => e.type === "log_line");
      if (lines.length) {
        const fresh = lines.map(lineOf);
        client.setQueryData(streamed(id).queryKey, (old = []) => joined(old, fresh));
        const old = client.getQueryData(logs(id).queryKey);
        if (old && torn(old.logs, fresh)) readAgain(client, { queryKey: logs(id).queryKey });
        else if (old) client.setQueryData(logs(id).queryKey, { ...old, logs: joined(old.logs, fresh) });
      }
      // Lines that the stream has not got may still be there for a read, or are gone for good: it says which.
      if (mine.some((e) => e.type === "gap")) readAgain(client, { queryKey: logs(id).queryKey });
      const changes = mine.filter((e) => e.type !== "log_line" && e.type !== "gap");
      if (!changes.length) return;
      saved.current ||= changes.some((e) => e.event_type === "workload.checkpoint_created");
      client.setQueryData(workload(id).queryKey, (old) => old && changes.reduce(patch, old));
      // The trail tells more than the events do. Many events are one look at it.
      due.current ??= setTimeout(() => {
        due.current = undefined;
        readAgain(client, { queryKey: workload(id).queryKey, exact: true });
        readAgain(client, { queryKey: audit(id).queryKey });
        if (saved.current) readAgain(client, { queryKey: checkpoints(id).queryKey });
        saved.current = false;
      }, 700);
    });
    return () => {
      stop();
      clearTimeout(due.current);
      due.current = undefined;
      client.removeQueries({ queryKey: streamed(id).queryKey });
    };
  }, [client, id]);
}

const lineOf = (e: LiveEvent): Line => ({
  seq: e.seq ?? 0, timestamp: e.timestamp ?? "", level: e.level ?? "INFO", message: e.message ?? "",
  stream: e.stream ?? null, details: (e.details ?? {}) as Json, generation: e.generation ?? 0,
});

function Head({ w }: { w: Exact }) {
  return (
    <header className="subject">
      <p className="crumbs"><Link to="/workloads">Workloads</Link></p>
      <div className="line">
        <h1>{w.workload_type} <span className="mono id">{w.workload_id}</span></h1>
        <Copy text={w.workload_id} label="Copy id" />
        <Actions w={w} />
      </div>
      <p className="sentence"><State of={w.status} /> <span>{inWords(w)}</span></p>
      <div className="meta">
        <Progress percent={w.progress_percent} done={isFinal(w.status)} />
        {w.progress_message && <span>{plain(w.progress_message)}</span>}
        <span className="muted">{w.customer_id}</span>
        <span className="muted num">priority {w.priority}</span>
        <span className="muted num">generation {w.generation}</span>
        {requested(w.resources ?? {}) && <span className="muted num">needs {requested(w.resources ?? {})}</span>}
        {held(w) && <span className="muted">holds {held(w)}</span>}
        {w.retry_of && <span>retry of <Link className="mono" to={`/workloads/${w.retry_of}`}>{w.retry_of}</Link></span>}
        <Labels of={w.labels} />
      </div>
    </header>
  );
}

/** inWords says what the workload does, or why it does nothing. */
function inWords(w: Exact): string {
  const reason = w.status_reason ? `: ${plain(w.status_reason)}` : "";
  const ran = w.started_at && w.completed_at ? duration(Date.parse(w.completed_at) - Date.parse(w.started_at)) : "";
  const took = !ran ? "" : w.generation > 1 ? `; its last run took ${ran}` : ` after ${ran}`;
  switch (w.status) {
    case "PENDING": return `It waits for a worker${reason}.`;
    case "SCHEDULED": return `It was given to ${w.worker_id ?? "a worker"}, which has not started it yet.`;
    case "RUNNING": return `It runs on ${w.worker_id ?? "a worker"}${reason}.`;
    case "REDISTRIBUTING":
      return `${w.last_worker_id ?? "Its worker"} lost it${reason}. It goes on from ${w.checkpoint_sequence ? `checkpoint ${w.checkpoint_sequence}` : "the beginning"}.`;
    case "PAUSED": return `It stands still${reason}. ${w.checkpoint_sequence ? `It will go on from checkpoint ${w.checkpoint_sequence}.` : ""}`;
    case "COMPLETED": return `It finished${took}.`;
    case "FAILED": return `It failed${took}${reason}.`;
    case "CANCELLED": return `It was cancelled${reason}.`;
  }
}

function Tabs({ w }: { w: Exact }) {
  const [query, change] = useAddress();
  const asked = query.get("tab") as Tab;
  const tab = tabs.includes(asked) ? asked : "logs";
  const open = (t: Tab) => change(put("tab", t));
  return (
    <section className="tabbed">
      <div role="tablist" aria-label="About this workload">
        {tabs.map((t) => (
          <button
            key={t} role="tab" id={`tab-${t}`} aria-selected={t === tab} aria-controls="panel" tabIndex={t === tab ? 0 : -1}
            onClick={() => open(t)}
            onKeyDown={(e) => {
              const step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
              const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
              if (!step || !next) return;
              open(next);
              document.getElementById(`tab-${next}`)?.focus();
            }}
          >
            {tabNames[t]}
          </button>
        ))}
      </div>
      <div role="tabpanel" id="panel" aria-labelledby={`tab-${tab}`}>
        {tab === "logs" && <Log id={w.workload_id} />}
        {tab === "data" && <Data w={w} />}
        {tab === "checkpoints" && <Checkpoints w={w} />}
        {tab === "audit" && <Trail id={w.workload_id} />}
        {tab === "details" && <Details w={w} />}
      </div>
    </section>
  );
}

function Data({ w }: { w: Exact }) {
  return (
    <div className="pair">
      <section><h3>Input</h3>{w.input_params === null ? <Masked /> : <Tree value={w.input_params} name={`${w.workload_id}-input`} />}</section>
      <section>
        <h3>Result</h3>
        {w.result_data !== null ? <Tree value={w.result_data} name={`${w.workload_id}-result`} />
          : w.status === "COMPLETED" ? (w.input_params === null ? <Masked /> : <p className="muted">null</p>)
            : <p className="muted">There is none before it has completed.</p>}
      </section>
    </div>
  );
}

const Masked = () => <p className="muted">Viewers do not see what a workload works on.</p>;

function Trail({ id }: { id: string }) {
  return <Loaded of={useQuery(audit(id))} rows={5}>{({ events }) => <Events events={events} />}</Loaded>;
}

function Events({ events }: { events: AuditEvent[] }) {
  const shown = [...events].reverse().slice(0, 500);
  return (
    <Scroll label="Audit trail">
      <table>
        <thead><tr><th>When</th><th>Event</th><th className="r">Gen</th><th>Worker</th><th>By</th><th>Reason</th></tr></thead>
        <tbody>
          {shown.map((e) => (
            <tr key={e.event_id}>
              <td><Time at={e.timestamp} /></td>
              <td>{e.event_type.replace("workload.", "").replaceAll("_", " ")}{e.details.checkpoint_sequence ? ` ${e.details.checkpoint_sequence}` : ""}</td>
              <td className="r num">{e.details.generation}</td>
              <td>{e.details.worker_id ?? "–"}</td>
              <td><span className="muted">{e.actor_type}</span> {e.actor_id}</td>
              <td>{plain(e.details.reason ?? "")}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {events.length > shown.length && <p className="muted">The newest {shown.length} of {events.length} events.</p>}
    </Scroll>
  );
}

/** held names the devices that the workload holds on its worker. */
function held(w: Exact) {
  return w.devices?.map((d) => (d.share < 1 ? `${d.share} of ${d.id}` : d.id)).join(", ") || null;
}

function Details({ w }: { w: Exact }) {
  return (
    <Facts
      of={[
        ["Created", <Time at={w.created_at} />], ["May start from", w.run_at && <Time at={w.run_at} />],
        ["Scheduled", <Time at={w.scheduled_at} />], ["Started", <Time at={w.started_at} />],
        ["Finished", <Time at={w.completed_at} />], ["Changed", <Time at={w.updated_at} />],
        ["Expected to finish", w.estimated_completion_time && <Time at={w.estimated_completion_time} />],
        ["Worker", w.worker_id ?? w.last_worker_id], ["Newest checkpoint", w.checkpoint_sequence || null],
        ["Requests", requested(w.resources ?? {}) || null], ["Holds", held(w)],
        ["Retries", `${w.retry_count} of ${w.max_retries}`], ["Redistributed", `${w.redistribution_count} times`],
        ["Affinity", Object.keys(w.affinity_rules ?? {}).length ? <code>{JSON.stringify(w.affinity_rules)}</code> : null],
        ["Archived", w.archived_at && <Time at={w.archived_at} />],
      ]}
    />
  );
}
