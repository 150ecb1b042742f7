import type { AuditEvent } from "../api/types";

export interface ProgressLine {
  /** at has times in milliseconds. */
  at: number[];
  /** percent is the progress from that time on; null: no run had the workload then. */
  percent: (number | null)[];
  /** checkpoints is the progress where a checkpoint was saved; null elsewhere. */
  checkpoints: (number | null)[];
  /** hops are the times at which a worker began to run it, with what is known about the run. */
  hops: { at: number; generation: number; worker: string }[];
}

/** limit is how many points a line has at most. */
const limit = 2_000;

/**
 * progressOf derives the progress over time from an audit trail. A run that begins where its
 * predecessor had saved a checkpoint shows as a fall of the line.
 */
export function progressOf(events: AuditEvent[]): ProgressLine {
  const line: ProgressLine = { at: [], percent: [], checkpoints: [], hops: [] };
  let running = false;
  let last: number | null = null;
  for (const e of events) {
    const at = Date.parse(e.timestamp);
    const percent = e.details.progress_percent;
    if (percent === undefined) continue;
    const begins = e.event_type === "workload.started";
    if (begins) line.hops.push({ at, generation: e.details.generation, worker: e.details.worker_id ?? "" });
    if (begins) running = true;
    if (!running) continue;
    const ends = e.details.to !== "RUNNING";
    const saved = e.event_type === "workload.checkpoint_created";
    if (!begins && !ends && !saved && percent === last) continue;
    line.at.push(at);
    line.percent.push(percent);
    line.checkpoints.push(saved ? percent : null);
    last = percent;
    if (!ends) continue;
    running = false;
    last = null;
    line.at.push(at + 1);
    line.percent.push(null);
    line.checkpoints.push(null);
  }
  return thin(line);
}

/** thin leaves out points in between, but none where a run begins or ends. */
function thin(line: ProgressLine): ProgressLine {
  const step = Math.ceil(line.at.length / limit);
  if (step < 2) return line;
  const hops = new Set(line.hops.map((h) => h.at));
  const keep = line.at.map((at, i) =>
    i % step === 0 || i === line.at.length - 1 || hops.has(at) || line.percent[i] === null || line.percent[i + 1] === null);
  const kept = <T>(values: T[]) => values.filter((_, i) => keep[i]);
  return { at: kept(line.at), percent: kept(line.percent), checkpoints: kept(line.checkpoints), hops: line.hops };
}
