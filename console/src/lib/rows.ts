import { isFinal, type LiveEvent, type Workload } from "../api/types";

/** patch returns the workload after an event. */
export function patch<W extends Pick<Workload, "status" | "generation" | "updated_at">>(w: W, e: LiveEvent): W {
  if (e.timestamp && e.timestamp < w.updated_at) return w;
  const held = e.status === "SCHEDULED" || e.status === "RUNNING";
  return {
    ...w,
    ...(e.status ? { status: e.status, worker_id: held ? (e.worker_id ?? null) : null } : {}),
    ...(e.worker_id ? { last_worker_id: e.worker_id } : {}),
    ...(e.progress_percent !== undefined ? { progress_percent: e.progress_percent } : {}),
    ...(e.generation !== undefined ? { generation: e.generation } : {}),
    ...(e.checkpoint_sequence !== undefined ? { checkpoint_sequence: e.checkpoint_sequence } : {}),
    ...(e.event_type === "workload.started" ? { started_at: e.timestamp } : {}),
    ...(e.status && isFinal(e.status) ? { completed_at: e.timestamp } : {}),
    ...(e.timestamp ? { updated_at: e.timestamp } : {}),
  };
}
