import { infiniteQueryOptions, queryOptions, type InfiniteData, type QueryClient } from "@tanstack/react-query";
import { ordering, selection, type Filters } from "../lib/filters";
import { parseExact, type Json } from "../lib/json";
import { joined, torn } from "../lib/lines";
import { api, asError, must } from "./client";
import { patch } from "../lib/rows";
import type { AdminEvent, AuditEvent, Key, LiveEvent, LogLine, Pagination, Workload } from "./types";

export interface WorkloadPage {
  workloads: Workload[];
  pagination: Pagination;
}

/** poll is how often is asked for what no event tells. */
const poll = 5_000;

export const listOf = (f: Filters, admin: boolean) =>
  infiniteQueryOptions({
    queryKey: ["workloads", { ...f, text: undefined }] as const,
    initialPageParam: undefined as string | undefined,
    queryFn: async ({ pageParam, signal }): Promise<WorkloadPage> => {
      const query = { ...selection(f), ...ordering(f), limit: 100, ...(pageParam ? { cursor: pageParam } : {}) };
      return admin
        ? must(api.GET("/v1/admin/workloads", { params: { query }, signal }))
        : must(api.GET("/v1/workloads", { params: { query }, signal }));
    },
    getNextPageParam: (page) => page.pagination.next_cursor ?? undefined,
    // Events keep what is loaded current. To read it again takes a request for each page.
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });

/** newerThan counts what matches and is newer than the first page of a list. */
export const newerThan = (f: Filters, cursor = "") =>
  queryOptions({
    queryKey: ["newer", { ...f, text: undefined }, cursor] as const,
    queryFn: async ({ signal }) => {
      if (!cursor || f.order !== "created_at") return null;
      const query = { ...selection(f), ...ordering(f), limit: 1, count_since: cursor };
      return (await must(api.GET("/v1/workloads", { params: { query }, signal }))).newer ?? null;
    },
    refetchInterval: poll,
  });

/** Payload is a workload's input or result, with every number as it was written. */
export type Exact = Omit<Workload, "input_params" | "result_data"> & { input_params: Json; result_data: Json };

export const workload = (id: string) =>
  queryOptions({
    queryKey: ["workload", id] as const,
    queryFn: async ({ signal }): Promise<Exact> => {
      const { data, error, response } = await api.GET("/v1/workloads/{id}", {
        params: { path: { id } }, signal, parseAs: "text",
      });
      if (!response.ok) throw asError(response, typeof error === "string" ? JSON.parse(error) : error);
      return parseExact(data as string) as unknown as Exact;
    },
  });

export const audit = (id: string) =>
  queryOptions({
    queryKey: ["workload", id, "audit"] as const,
    queryFn: async ({ signal }) => {
      const events: AuditEvent[] = [];
      let more = true;
      for (let cursor: string | undefined; more && events.length < 5_000; ) {
        const page = await must(
          api.GET("/v1/workloads/{id}/audit", { params: { path: { id }, query: { cursor } }, signal }),
        );
        events.push(...page.events);
        cursor = page.pagination.next_cursor ?? undefined;
        more = cursor !== undefined;
      }
      return { events, more };
    },
  });

/** Line is a line of a log, with every number of its details as it was written. */
export type Line = Omit<LogLine, "details"> & { details: Json };

export interface Lines {
  logs: Line[];
  /** has_more reports whether there may be older lines. */
  has_more: boolean;
}

/** logPage is how many lines are read at once. */
const logPage = 1000;

async function readLog(id: string, query: { after?: number; limit: number }, signal?: AbortSignal): Promise<Lines> {
  const text = await must(api.GET("/v1/workloads/{id}/logs", { params: { path: { id }, query }, signal, parseAs: "text" }));
  return parseExact(text as unknown as string) as unknown as Lines;
}

/** streamed are the lines that the stream has brought since the page was opened. Nothing reads them. */
export const streamed = (id: string) =>
  queryOptions({ queryKey: ["workload", id, "streamed"] as const, queryFn: (): Line[] => [], enabled: false });

/** logs are the newest lines. What came before them is read by olderLines. */
export const logs = (id: string) =>
  queryOptions({
    queryKey: ["workload", id, "logs"] as const,
    queryFn: async ({ signal, client }): Promise<Lines> => {
      // What the stream brings while the log is read is newer than the answer. If there are lines between them, another
      // answer has those.
      for (let again = true; ; again = false) {
        const read = await readLog(id, { limit: logPage }, signal);
        const fresh = client.getQueryData(streamed(id).queryKey) ?? [];
        if (!again || !torn(read.logs, fresh)) return { ...read, logs: joined(read.logs, fresh) };
      }
    },
    // The stream brings what is new; to read again would forget the older lines.
    staleTime: Infinity,
    gcTime: 0,
  });

/** olderLines returns the lines that come before the first one of those that are known, and then those. */
export async function olderLines(id: string, known: Lines): Promise<Lines> {
  const first = known.logs[0]?.seq ?? 1;
  const after = Math.max(0, first - 1 - logPage);
  const { logs: older } = await readLog(id, { after, limit: first - 1 - after || 1 });
  const before = older.filter((l) => l.seq < first);
  return { logs: [...before, ...known.logs], has_more: before.length > 0 && (before[0]?.seq ?? 1) > 1 };
}

/** inspectLimit is the size up to which a checkpoint is shown. */
export const inspectLimit = 1 << 20;

export const checkpointData = (id: string, sequence: number) =>
  queryOptions({
    queryKey: ["workload", id, "checkpoint", sequence] as const,
    queryFn: async ({ signal }): Promise<ArrayBuffer> =>
      (await must(api.GET("/v1/workloads/{id}/checkpoints/{sequence}", {
        params: { path: { id, sequence }, query: { data: true } }, signal, parseAs: "arrayBuffer",
      }))) as unknown as ArrayBuffer,
    staleTime: Infinity,
  });

export const checkpoints = (id: string) =>
  queryOptions({
    queryKey: ["workload", id, "checkpoints"] as const,
    queryFn: ({ signal }) => must(api.GET("/v1/workloads/{id}/checkpoints", { params: { path: { id } }, signal })),
  });

export const placement = (id: string) =>
  queryOptions({
    queryKey: ["workload", id, "placement"] as const,
    queryFn: ({ signal }) => must(api.GET("/v1/workloads/{id}/placement", { params: { path: { id } }, signal })),
    refetchInterval: poll,
  });

export const workers = () =>
  queryOptions({
    queryKey: ["workers"] as const,
    queryFn: async ({ signal }) => {
      const all = [];
      for (let cursor: string | undefined, more = true; more; ) {
        const page = await must(api.GET("/v1/admin/workers", { params: { query: { limit: 100, cursor } }, signal }));
        all.push(...page.workers);
        cursor = page.pagination.next_cursor ?? undefined;
        more = cursor !== undefined;
      }
      return all;
    },
    refetchInterval: poll,
  });

export const workerEvents = (id: string) =>
  queryOptions({
    queryKey: ["workers", id, "events"] as const,
    queryFn: ({ signal }) => must(api.GET("/v1/admin/workers/{id}/events", { params: { path: { id } }, signal })),
    refetchInterval: poll,
  });

export const customers = () =>
  infiniteQueryOptions({
    queryKey: ["customers"] as const,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      must(api.GET("/v1/admin/customers", { params: { query: { limit: 100, cursor: pageParam } }, signal })),
    getNextPageParam: (page) => page.pagination.next_cursor ?? undefined,
    refetchInterval: 15_000,
  });

export const customer = (id: string) =>
  queryOptions({
    queryKey: ["customers", id] as const,
    queryFn: ({ signal }) => must(api.GET("/v1/admin/customers/{id}", { params: { path: { id } }, signal })),
    refetchInterval: poll,
  });

export const customerKeys = (id: string) =>
  queryOptions({
    queryKey: ["customers", id, "keys"] as const,
    queryFn: async ({ signal }) => {
      const keys: Key[] = [];
      for (let cursor: string | undefined, more = true; more; ) {
        const page = await must(
          api.GET("/v1/admin/customers/{id}/keys", { params: { path: { id }, query: { limit: 100, cursor } }, signal }),
        );
        keys.push(...page.keys);
        cursor = page.pagination.next_cursor ?? undefined;
        more = cursor !== undefined;
      }
      return { keys };
    },
  });

export const ownCustomer = () =>
  queryOptions({
    queryKey: ["customer"] as const,
    queryFn: ({ signal }) => must(api.GET("/v1/customer", { signal })),
    refetchInterval: poll,
  });

/** lastDays selects the last days, by hour. */
const lastDays = (days: number) => {
  const day = (at: number) => new Date(at).toISOString().slice(0, 10);
  return { start_date: day(Date.now() - (days - 1) * 86_400_000), end_date: day(Date.now()), group_by: "hour" as const };
};

export const statistics = (days: number) =>
  queryOptions({
    queryKey: ["statistics", days] as const,
    queryFn: ({ signal }) => must(api.GET("/v1/customer/stats", { params: { query: lastDays(days) }, signal })),
    refetchInterval: 60_000,
  });

/** statisticsOf are those of a customer, as an administrator sees them. */
export const statisticsOf = (id: string, days: number) =>
  queryOptions({
    queryKey: ["customers", id, "statistics", days] as const,
    queryFn: ({ signal }) =>
      must(api.GET("/v1/admin/customers/{id}/stats", { params: { path: { id }, query: lastDays(days) }, signal })),
    refetchInterval: 60_000,
  });

export const queueDepth = () =>
  queryOptions({
    queryKey: ["queue"] as const,
    queryFn: ({ signal }) => must(api.GET("/v1/metrics/queue-depth", { signal })),
    refetchInterval: poll,
  });

/** series is of the last minutes, in steps that make about 60 to 100 points. */
export const series = (minutes: number) =>
  queryOptions({
    queryKey: ["series", minutes] as const,
    queryFn: ({ signal }) => {
      const step_minutes = minutes > 360 ? 15 : minutes > 60 ? 5 : 1;
      return must(api.GET("/v1/metrics/series", { params: { query: { minutes, step_minutes } }, signal }));
    },
    // A step of a long series lasts minutes, and to sum it up costs more.
    refetchInterval: minutes > 60 ? 60_000 : 15_000,
  });

export interface LaneFilters {
  customer_id?: string;
  workload_type?: string;
  blocked?: boolean;
}

export const lanes = (f: LaneFilters) =>
  infiniteQueryOptions({
    queryKey: ["lanes", f] as const,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      must(api.GET("/v1/admin/lanes", { params: { query: { ...f, limit: 100, cursor: pageParam } }, signal })),
    getNextPageParam: (page) => page.pagination.next_cursor ?? undefined,
    refetchInterval: poll,
  });

export const config = () =>
  queryOptions({
    queryKey: ["config"] as const,
    queryFn: ({ signal }) => must(api.GET("/v1/admin/config", { signal })),
    // Its settings stay as they are; who leads does not.
    refetchInterval: 15_000,
  });

/** ready answers with the server's state, whatever it is. */
export const ready = () =>
  queryOptions({
    queryKey: ["ready"] as const,
    queryFn: async ({ signal }) => {
      const { data, error } = await api.GET("/ready", { signal });
      return (data ?? error) as { status: string; is_leader: boolean; dependencies: Record<string, unknown> };
    },
    refetchInterval: poll,
  });

export const health = () =>
  queryOptions({ queryKey: ["health"] as const, queryFn: ({ signal }) => must(api.GET("/health", { signal })) });

export interface AdminAuditFilters {
  actor_id?: string;
  event_type?: string;
  target_id?: string;
  customer_id?: string;
}

export const adminAudit = (f: AdminAuditFilters) =>
  infiniteQueryOptions({
    queryKey: ["audit", f] as const,
    initialPageParam: undefined as string | undefined,
    queryFn: async ({ pageParam, signal }) => {
      const query = { ...f, event_type: f.event_type as AdminEvent["event_type"] | undefined, limit: 100, cursor: pageParam };
      return (await must(api.GET("/v1/admin/audit", { params: { query }, signal }))) as {
        events: AdminEvent[]; pagination: Pagination;
      };
    },
    getNextPageParam: (page) => page.pagination.next_cursor ?? undefined,
  });

/** applyToLists changes the rows that are loaded as the events say. Rows stay where they are. */
export function applyToLists(client: QueryClient, events: LiveEvent[]) {
  const byID = new Map<string, LiveEvent[]>();
  for (const e of events) {
    const known = byID.get(e.workload_id);
    if (known) known.push(e);
    else byID.set(e.workload_id, [e]);
  }
  client.setQueriesData<InfiniteData<WorkloadPage>>({ queryKey: ["workloads"] }, (old) => {
    if (!old) return old;
    let changed = false;
    const pages = old.pages.map((page) => {
      let here = false;
      const rows = page.workloads.map((w) => {
        const of = byID.get(w.workload_id);
        if (!of) return w;
        here = changed = true;
        return of.reduce(patch, w);
      });
      return here ? { ...page, workloads: rows } : page;
    });
    return changed ? { ...old, pages } : old;
  });
}
