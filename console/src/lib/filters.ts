import { statuses, type Status, type Workload } from "../api/types";
import { timeOf } from "./times";

/** orders are the orders of a list: the newest first, the oldest, what changed last, the most urgent. */
export const orders = ["created_at", "oldest", "updated_at", "priority"] as const;

/** Filters select workloads. They are the query of the page's address, so that they can be shared. */
export interface Filters {
  status: Status[];
  label: string[];
  type?: string;
  customer?: string;
  /** after and before are in UTC: whoever opens the address sees the same, in any zone. */
  after?: string;
  before?: string;
  order: (typeof orders)[number];
  /** text is looked for in the rows that are loaded. */
  text?: string;
}

export function readFilters(query: URLSearchParams): Filters {
  const order = orders.find((o) => o === query.get("order"));
  return {
    status: query.getAll("status").filter((s): s is Status => (statuses as readonly string[]).includes(s)),
    label: query.getAll("label").filter((l) => l.includes("=")),
    type: query.get("type") || undefined,
    customer: query.get("customer") || undefined,
    after: timeOf(query.get("after")),
    before: timeOf(query.get("before")),
    order: order ?? "created_at",
    text: query.get("q") || undefined,
  };
}

export function writeFilters(f: Filters): URLSearchParams {
  const query = new URLSearchParams();
  for (const s of f.status) query.append("status", s);
  for (const l of f.label) query.append("label", l);
  const one = { type: f.type, customer: f.customer, after: f.after, before: f.before, q: f.text };
  for (const [k, v] of Object.entries(one)) if (v) query.set(k, v);
  if (f.order !== "created_at") query.set("order", f.order);
  return query;
}

/** selection is what the API takes of the filters, in the list as in batch operations. */
export function selection(f: Filters) {
  return {
    ...(f.status.length ? { status: f.status } : {}),
    ...(f.label.length ? { label: f.label } : {}),
    ...(f.type ? { workload_type: f.type } : {}),
    ...(f.after ? { created_after: f.after } : {}),
    ...(f.before ? { created_before: f.before } : {}),
    ...(f.customer ? { customer_id: f.customer } : {}),
  };
}

/** ordering is what the API takes of the order. */
export const ordering = (f: Filters) =>
  f.order === "oldest" ? { order_by: "created_at" as const, order: "asc" as const } : { order_by: f.order };

/** find says what a text means that somebody searches for. */
export function find(text: string): { id: string } | { label: string } | { text: string } {
  const t = text.trim();
  if (/^wl_[a-z0-9]{20,}$/.test(t)) return { id: t };
  if (/^[^=\s]+=[^=]*$/.test(t)) return { label: t };
  return { text: t };
}

/**
 * hasText reports whether a text, which is in lower case, is in a workload's id, type, customer or labels,
 * or in why it waits or failed.
 */
export const hasText = (
  w: Pick<Workload, "workload_id" | "workload_type" | "customer_id" | "labels"> & Partial<Pick<Workload, "status_reason" | "error_type">>,
  text: string,
) =>
  [w.workload_id, w.workload_type, w.customer_id, w.status_reason, w.error_type].some((s) => s?.toLowerCase().includes(text)) ||
  Object.entries(w.labels).some(([k, v]) => `${k}=${v}`.toLowerCase().includes(text));
