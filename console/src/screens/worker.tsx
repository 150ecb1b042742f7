import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { api, must } from "../api/client";
import { workerEvents, workers } from "../api/queries";
import type { Worker } from "../api/types";
import { duration } from "../lib/format";
import { megabytes, share, uses } from "../lib/resources";
import { useSession } from "../session";
import { Dialog, Facts, Failure, Loaded, Meter, Scroll, State, Time, useNowOf } from "../ui/parts";
import { Forbidden } from "./forbidden";
import { condition } from "./workers";
import { ApiError } from "../api/client";

export function WorkerPage() {
  const { admin } = useSession();
  return admin ? <One /> : <Forbidden what="workers" />;
}

function One() {
  const { id = "" } = useParams();
  const fleet = useQuery(workers());
  const events = useQuery(workerEvents(id));
  const now = useNowOf(fleet.dataUpdatedAt);
  const w = fleet.data?.find((x) => x.worker_id === id);
  if (!w) return <Loaded of={fleet} rows={8}>{() => <Failure error={new ApiError(404, "NOT_FOUND", "")} />}</Loaded>;
  const left = w.running_workloads.length;
  return (
    <Loaded of={fleet}>{() => <>
      <header className="subject">
        <p className="crumbs"><Link to="/workers">Workers</Link></p>
        <div className="line"><h1>{w.worker_id}</h1><WorkerActions id={id} status={w.status} runs={w.running_workloads.length} /></div>
        <p className="sentence">
          <State of={condition(w, now)} />
          <span>Last heartbeat {duration(now - Date.parse(w.last_heartbeat))} ago{w.status === "DEAD" ? "" : `, ${duration(Date.parse(w.lease_until) - now)} of its lease left`}.</span>
          {w.status === "DRAINING" && <span>{left ? `${left} of its ${left === 1 ? "runs is" : "runs are"} left.` : "Nothing runs on it any more: it can be stopped."}</span>}
        </p>
      </header>
      <div className="meters"><Meter label="Slots" used={w.capacity_used} of={w.capacity_total} /></div>
      <Facts of={[
        ["Version", w.version], ["Registered", <Time at={w.registered_at} />], ["Session", <span className="mono">{w.session_id}</span>],
        ["Types", w.capabilities.join(", ")], ["Tags", Object.entries(w.tags).map(([k, v]) => `${k}=${v}`).join(" ") || null],
      ]} />
      <Resources w={w} />
      <div className="pair">
        <section>
          <h2>Runs</h2>
          {!w.running_workloads.length && !w.ending_runs.length && <p className="muted">Nothing.</p>}
          <ul className="plain">
            {w.running_workloads.map((x) => <li key={x}><Link className="mono" to={`/workloads/${x}`}>{x}</Link></li>)}
            {w.ending_runs.map((x) => (
              <li key={x.workload_id + x.generation}>
                <Link className="mono" to={`/workloads/${x.workload_id}`}>{x.workload_id}</Link> <span className="muted">ending for {duration(x.ending_for_seconds * 1000)}</span>
              </li>
            ))}
          </ul>
        </section>
        <section>
          <h2>Events</h2>
          <Loaded of={events} rows={3}>{(list) => (
            <Scroll label="Events">
              <table>
                <thead><tr><th>When</th><th>Event</th><th>By</th><th>Reason</th></tr></thead>
                <tbody>
                  {list.events.map((e) => (
                    <tr key={e.event_id}>
                      <td><Time at={e.timestamp} /></td><td>{e.event_type.replace("worker.", "").replaceAll("_", " ")}</td>
                      <td>{e.actor_id}</td><td>{e.details.reason ?? ""}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )}</Loaded>
        </section>
      </div>
    </>}</Loaded>
  );
}

/** Resources shows what the worker offers, how much of it its runs hold, and each of its devices. */
function Resources({ w }: { w: Worker }) {
  const list = uses(w.resources ?? {}, w.allocated);
  const devices = w.resources?.devices ?? [];
  return (
    <section>
      <h2>Resources</h2>
      {!list.length ? <p className="muted">It states none, so nothing but its slots limits what it runs.</p> : (
        <Scroll label="Resources">
          <table className="narrow">
            <thead><tr><th>Kind</th><th className="r">Allocated</th><th className="r">Free</th><th className="r">In all</th></tr></thead>
            <tbody>
              {list.map((u) => (
                <tr key={u.name}>
                  <td>{u.name}</td><td className="r num">{u.show(u.used)}</td>
                  <td className="r num">{u.show(Math.max(0, u.total - u.used))}</td><td className="r num">{u.show(u.total)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {devices.length > 0 && (
        <div className="chips" role="list" aria-label="Devices">
          {devices.map((d) => (
            <span key={d.id} role="listitem" className="chip num" title={d.memory_mb ? `${megabytes(d.memory_mb)} memory` : undefined}>
              {d.id}{d.model && ` ${d.model}`} <span className="muted">{Math.round(100 * share(w.allocated ?? {}, d.id))}%</span>
            </span>
          ))}
        </div>
      )}
    </section>
  );
}

type Action = "drain" | "undrain" | "remove";

const asks: Record<Action, string> = {
  drain: "It takes no new work. Each of its runs saves a checkpoint, stops and goes on elsewhere; one that saves none begins anew.",
  undrain: "It takes new work again.",
  remove: "Its session ends and its work goes to other workers from the last checkpoints. If the process still lives, it registers again.",
};

/** WorkerActions are what may be done to a worker in its status. */
export function WorkerActions({ id, status, runs, small }: { id: string; status: string; runs: number; small?: boolean }) {
  const client = useQueryClient();
  const [action, setAction] = useState<Action>();
  const run = useMutation({
    mutationFn: async (a: Action) => {
      const o = { params: { path: { id } } };
      if (a === "drain") await must(api.POST("/v1/admin/workers/{id}/drain", o));
      else if (a === "undrain") await must(api.POST("/v1/admin/workers/{id}/undrain", o));
      else await must(api.DELETE("/v1/admin/workers/{id}", o));
    },
    onSuccess: () => {
      setAction(undefined);
      void client.invalidateQueries({ queryKey: ["workers"] });
    },
  });
  const drains = status === "DRAINING" ? "undrain" : "drain";
  const can: Action[] = status === "DEAD" ? [] : small ? [drains] : [drains, "remove"];
  const name = (a: Action) => a.charAt(0).toUpperCase() + a.slice(1);
  return (
    <span className="actions">
      {can.map((a) => <button key={a} className={a === "remove" ? "danger" : small ? "quiet small" : ""} onClick={() => setAction(a)}>{name(a)}</button>)}
      {action && (
        <Dialog title={`${name(action)} ${id}?`} onClose={() => setAction(undefined)}>
          <p>{asks[action]} It holds {runs} {runs === 1 ? "workload" : "workloads"} now.</p>
          {run.isError && <Failure error={run.error} />}
          <div className="buttons">
            <button onClick={() => setAction(undefined)}>Leave it</button>
            <button className={action === "remove" ? "danger" : "primary"} disabled={run.isPending} onClick={() => run.mutate(action)}>{name(action)}</button>
          </div>
        </Dialog>
      )}
    </span>
  );
}
