import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { workers } from "../api/queries";
import type { Worker } from "../api/types";
import { duration } from "../lib/format";
import { uses } from "../lib/resources";
import { useSession } from "../session";
import { Empty, Failure, Loading, Scroll, State, useNow } from "../ui/parts";
import { Forbidden } from "./forbidden";

/** late reports whether a worker that should live has used up half of its lease without a heartbeat. */
export function late(w: Worker, now: number): boolean {
  const beat = Date.parse(w.last_heartbeat);
  return w.status !== "DEAD" && now - beat > (Date.parse(w.lease_until) - beat) / 2 + 1000;
}

export function Workers() {
  const { admin } = useSession();
  return admin ? <List /> : <Forbidden what="workers" />;
}

/** free says what of the worker's resources is free, devices by their model. */
const free = (w: Worker) =>
  w.status === "DEAD" ? "" : uses(w.resources ?? {}, w.allocated).map((u) => `${u.show(Math.max(0, u.total - u.used))} of ${u.show(u.total)} ${u.name}`).join(", ");

const states = ["HEALTHY", "DRAINING", "DEAD"] as const;

function List() {
  const fleet = useQuery(workers());
  const now = useNow();
  const [query, setQuery] = useSearchParams();
  const status = query.get("status");
  const rows = (fleet.data ?? []).filter((w) => (status ? w.status === status : w.status !== "DEAD"));
  const dead = (fleet.data ?? []).filter((w) => w.status === "DEAD").length;
  return (
    <>
      <h1>Workers</h1>
      <div className="toggles" role="group" aria-label="Status">
        <button aria-pressed={!status} onClick={() => setQuery({}, { replace: true })}>Alive</button>
        {states.map((s) => (
          <button key={s} aria-pressed={status === s} onClick={() => setQuery({ status: s }, { replace: true })}>
            <State of={s} />{s === "DEAD" && dead > 0 && <span className="num"> {dead}</span>}
          </button>
        ))}
      </div>
      {fleet.isPending ? <Loading rows={6} />
        : fleet.isError ? <Failure error={fleet.error} retry={() => void fleet.refetch()} />
          : !rows.length ? (
            <Empty title={fleet.data.length ? "No worker is in this state" : "No workers"}>
              {!fleet.data.length && <>Start one: <code>niyanta worker</code></>}
            </Empty>
          ) : (
            <Scroll label="Workers">
              <table>
                <thead>
                  <tr>
                    <th>Status</th><th>Worker</th><th className="r">Heartbeat</th><th className="r">Lease left</th>
                    <th className="r">Slots</th><th>Runs</th><th>Free</th><th>Types</th><th>Tags</th><th>Version</th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map((w) => (
                    <tr key={w.worker_id} data-row>
                      <td><State of={late(w, now) ? "LATE" : w.status} /></td>
                      <td><Link data-open to={`/workers/${encodeURIComponent(w.worker_id)}`}>{w.worker_id}</Link></td>
                      <td className="r num" title={w.last_heartbeat}>{duration(now - Date.parse(w.last_heartbeat))}</td>
                      <td className="r num" title={w.lease_until}>{w.status === "DEAD" ? "–" : duration(Date.parse(w.lease_until) - now)}</td>
                      <td className="r num">{w.capacity_used}<span className="muted">/{w.capacity_total}</span></td>
                      <td className="num">{w.running_workloads.length || "–"}{w.ending_runs.length > 0 && <span className="muted"> +{w.ending_runs.length} ending</span>}</td>
                      <td className="clip num" title={free(w)}>{free(w) || "–"}</td>
                      <td className="clip" title={w.capabilities.join(", ")}>{w.capabilities.join(", ")}</td>
                      <td className="clip">{Object.entries(w.tags).map(([k, v]) => `${k}=${v}`).join(" ") || "–"}</td>
                      <td>{w.version}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )}
    </>
  );
}
