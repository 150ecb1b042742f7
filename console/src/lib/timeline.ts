import type { AuditEvent, Status } from "../api/types";

export type SegmentKind = "waiting" | "placing" | "running" | "paused";

export interface Segment {
  kind: SegmentKind;
  from: number;
  /** to is when it ended; undefined: it goes on. */
  to?: number;
}

export interface Mark {
  kind: "checkpoint" | "pause" | "skipped" | "unplaceable";
  at: number;
  sequence?: number;
}

export interface Attempt {
  /** generation is 0 while the attempt waits for a worker. */
  generation: number;
  worker: string;
  segments: Segment[];
  marks: Mark[];
  /** end says what ended it; undefined: it goes on. */
  end?: { kind: Status | "DECLINED" | "RELEASED" | "RETRYING"; at: number; reason: string };
}

/** attempts derives a row for each time that a worker held the workload from its audit trail. */
export function attempts(events: AuditEvent[]): Attempt[] {
  const rows: Attempt[] = [];
  let row: Attempt | undefined;
  const begin = (kind: SegmentKind, at: number) => {
    row = { generation: 0, worker: "", segments: [{ kind, from: at }], marks: [] };
    rows.push(row);
  };
  const next = (kind: SegmentKind, at: number) => {
    if (!row) return begin(kind, at);
    const last = row.segments.at(-1);
    if (last) last.to ??= at;
    row.segments.push({ kind, from: at });
  };
  const end = (kind: NonNullable<Attempt["end"]>["kind"], at: number, reason = "") => {
    if (!row) return;
    const last = row.segments.at(-1);
    if (last) last.to ??= at;
    row.end = { kind, at, reason };
    row = undefined;
  };
  for (const e of events) {
    const at = Date.parse(e.timestamp);
    const { worker_id: worker, generation, reason, checkpoint_sequence: sequence } = e.details;
    switch (e.event_type) {
      case "workload.created":
      case "workload.resumed":
        if (row) end("PAUSED", at);
        begin("waiting", at);
        break;
      case "workload.scheduled":
        next("placing", at);
        if (row) Object.assign(row, { generation, worker: worker ?? "" });
        break;
      case "workload.started":
        next("running", at);
        if (row) Object.assign(row, { generation, worker: worker ?? row.worker });
        break;
      case "workload.checkpoint_created":
        row?.marks.push({ kind: "checkpoint", at, sequence });
        break;
      case "workload.checkpoint_skipped":
        row?.marks.push({ kind: "skipped", at, sequence });
        break;
      case "workload.pause_requested":
        row?.marks.push({ kind: "pause", at });
        break;
      case "workload.unplaceable":
        row?.marks.push({ kind: "unplaceable", at });
        break;
      case "workload.paused":
        next("paused", at);
        break;
      case "workload.redistributed":
        end("REDISTRIBUTING", at, reason);
        begin("waiting", at);
        break;
      case "workload.declined":
        end("DECLINED", at, reason);
        begin("waiting", at);
        break;
      case "workload.released":
        end("RELEASED", at, reason);
        begin("waiting", at);
        break;
      case "workload.retried":
        end("RETRYING", at, reason);
        begin("waiting", at);
        break;
      case "workload.completed":
        end("COMPLETED", at, reason);
        break;
      case "workload.failed":
        end("FAILED", at, reason);
        break;
      case "workload.cancelled":
        end("CANCELLED", at, reason);
        break;
    }
  }
  return rows;
}

const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400].map(
  (s) => s * 1000,
);

/** ticks returns at most n round distances from the beginning of a span. */
export function ticks(span: number, n: number): number[] {
  const step = steps.find((s) => span / s <= n) ?? Math.ceil(span / n / 86_400_000) * 86_400_000;
  const out: number[] = [];
  for (let at = 0; at < span; at += step) out.push(at);
  return out;
}
