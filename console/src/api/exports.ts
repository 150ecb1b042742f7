// Lists as they are exported: text of the API, so that every number keeps its digits.
import type { Pages, Row } from "../lib/export";
import { hasText, ordering, selection, type Filters } from "../lib/filters";
import { parseExact, type Json } from "../lib/json";
import { api, must } from "./client";
import type { AdminAuditFilters } from "./queries";
import type { AdminEvent, Workload } from "./types";

/** workloadColumns are the columns of workloads in CSV. JSON lines have every field. */
export const workloadColumns = [
  "workload_id", "customer_id", "workload_type", "status", "status_reason", "priority", "progress_percent", "labels", "worker_id",
  "last_worker_id", "generation", "checkpoint_sequence", "retry_count", "redistribution_count", "created_at", "scheduled_at",
  "started_at", "completed_at", "updated_at", "error_type", "error_message", "retry_of",
] as const;

/** workloadRows reads a page of what filters match. */
export async function workloadRows(
  f: Filters, admin: boolean, cursor: string | undefined, signal: AbortSignal,
): Promise<Pages> {
  const options = {
    params: { query: { ...selection(f), ...ordering(f), limit: 100, ...(cursor ? { cursor } : {}) } },
    signal, parseAs: "text" as const,
  };
  const page = await (admin ? must(api.GET("/v1/admin/workloads", options)) : must(api.GET("/v1/workloads", options)));
  const { rows, next } = pageOf(page, "workloads");
  const text = f.text?.toLowerCase();
  return { rows: text ? rows.filter((r) => hasText(r as unknown as Workload, text)) : rows, next };
}

/** auditColumns are the columns of what administrators did in CSV. */
export const auditColumns = [
  "event_id", "timestamp", "event_type", "target_id", "customer_id", "actor_id", "actor_name", "address", "before", "after",
] as const;

/** auditRows reads a page of what administrators did. */
export async function auditRows(f: AdminAuditFilters, cursor: string | undefined, signal: AbortSignal): Promise<Pages> {
  const query = { ...f, event_type: f.event_type as AdminEvent["event_type"] | undefined, limit: 100, cursor };
  return pageOf(await must(api.GET("/v1/admin/audit", { params: { query }, signal, parseAs: "text" })), "events");
}

function pageOf(text: unknown, collection: string): Pages {
  const page = parseExact(text as string) as { [name: string]: Json };
  const { next_cursor: next } = page.pagination as { next_cursor?: string | null };
  return { rows: page[collection] as Row[], next: next ?? undefined };
}
