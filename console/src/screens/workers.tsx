import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { workers } from "../api/queries";
import type { Worker } from "../api/types";
import { duration } from "../lib/format";
import { uses } from "../lib/resources";
import { useSession } from "../session";
import { put, useAddress } from "../ui/address";
import { Empty, Field, Loaded, Scroll, State, useNowOf } from "../ui/parts";
import { Forbidden } from "./forbidden";
import { WorkerActions } from "./worker";

/** late reports whether a worker that should live has used up half of its lease without a heartbeat. */
function late(w: Worker, now: number): boolean {
  const beat = Date.parse(w.last_heartbeat);
  return now - beat > (Date.parse(w.lease_until) - beat) / 2 + 1000;
}

/** stuckAfter is how long a run may take to end, in seconds. */
const stuckAfter = 10;

/** conditions are how a worker may be, the worst that lives first. */
const conditions = ["LATE", "STUCK", "DRAINING", "HEALTHY", "DEAD"] as const;

/** condition is the status of a worker, or what is wrong with one that lives. */
export function condition(w: Worker, now: number): (typeof conditions)[number] {
  if (w.status === "DEAD") return "DEAD";
  if (late(w, now)) return "LATE";
  return w.ending_runs.some((r) => r.ending_for_seconds > stuckAfter) ? "STUCK" : w.status;
}

export function Workers() {
  const { admin } = useSession();
  return admin ? <List /> : <Forbidden what="workers" />;
}

/** free says what of the worker's resources is free, devices by their model. */
const free = (w: Worker) =>
  w.status === "DEAD" ? "" : uses(w.resources ?? {}, w.allocated).map((u) => `${u.show(Math.max(0, u.total - u.used))} of ${u.show(u.total)} ${u.name}`).join(", ");

function List() {
  const fleet = useQuery(workers());
  const now = useNowOf(fleet.dataUpdatedAt);
  const [query, change] = useAddress();
  const status = conditions.find((c) => c === query.get("status"));
  const text = (query.get("q") ?? "").toLowerCase();
  const set = (name: string) => (value?: string) => change(put(name, value));
  const all = (fleet.data ?? []).map((w) => ({ w, is: condition(w, now) }));
  const rows = all
    .filter(({ w, is }) => (status ? is === status : is !== "DEAD") && (!text || hasText(w, text)))
    .sort((a, b) => conditions.indexOf(a.is) - conditions.indexOf(b.is) || a.w.worker_id.localeCompare(b.w.worker_id));
  return (
    <>
      <h1>Workers</h1>
      <div className="toggles" role="group" aria-label="Status">
        <button aria-pressed={!status} onClick={() => set("status")()}>Alive</button>
        {conditions.map((c) => (
          <button key={c} aria-pressed={status === c} onClick={() => set("status")(c)}>
            <State of={c} /><span className="num"> {all.filter((x) => x.is === c).length || ""}</span>
          </button>
        ))}
      </div>
      <div className="fields few"><Field label="Id, type, tag or version" value={query.get("q") ?? ""} live set={set("q")} /></div>
      <Loaded of={fleet}>
        {(known) => (!rows.length ? (
          <Empty title={known.length ? "No worker matches" : "No workers"}>
            {!known.length && <>Start one: <code>niyanta worker</code></>}
          </Empty>
        ) : (
          <Scroll label="Workers">
            <table>
              <thead>
                <tr>
                  <th>Status</th><th>Worker</th><th className="r">Heartbeat</th><th className="r">Lease left</th>
                  <th className="r">Slots</th><th>Runs</th><th>Free</th><th>Types</th><th>Tags</th><th>Version</th><th />
                </tr>
              </thead>
              <tbody>
                {rows.map(({ w, is }) => (
                  <tr key={w.worker_id} data-row>
                    <td><State of={is} /></td>
                    <td><Link data-open to={`/workers/${encodeURIComponent(w.worker_id)}`}>{w.worker_id}</Link></td>
                    <td className="r num" title={w.last_heartbeat}>{duration(now - Date.parse(w.last_heartbeat))}</td>
                    <td className="r num" title={w.lease_until}>{w.status === "DEAD" ? "–" : duration(Date.parse(w.lease_until) - now)}</td>
                    <td className="r num">{w.capacity_used}<span className="muted">/{w.capacity_total}</span></td>
                    <td className="num">{w.running_workloads.length || "–"}{w.ending_runs.length > 0 && <span className="muted"> +{w.ending_runs.length} ending</span>}</td>
                    <td className="clip num" title={free(w)}>{free(w) || "–"}</td>
                    <td className="clip" title={w.capabilities.join(", ")}>{w.capabilities.join(", ")}</td>
                    <td className="clip">{Object.entries(w.tags).map(([k, v]) => `${k}=${v}`).join(" ") || "–"}</td>
                    <td>{w.version}</td>
                    <td className="r"><WorkerActions id={w.worker_id} status={w.status} runs={w.running_workloads.length} small /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        ))}
      </Loaded>
    </>
  );
}

const hasText = (w: Worker, text: string) =>
  [w.worker_id, w.version, ...w.capabilities, ...Object.entries(w.tags).map(([k, v]) => `${k}=${v}`)]
    .some((s) => s.toLowerCase().includes(text));
