// Uses the client that openapi-typescript generates, as a program of a customer would. A Go test compiles and runs
// it: node build/client.js <url> <key of a customer> <admin key>. It ends with an error if an answer is not as the
// types say.
import createClient from "openapi-fetch";
import type { components, paths } from "./build/niyanta.js";

declare const process: { argv: string[] };

type Workload = components["schemas"]["Workload"];

const [, , url, key, adminKey] = process.argv;
if (!url || !key || !adminKey) throw new Error("usage: client.js <url> <key> <admin key>");

const connect = (token: string) =>
  createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${token}` } });
const customer = connect(key);
const admin = connect(adminKey);

function check(what: string, ok: boolean): asserts ok {
  if (!ok) throw new Error(what);
}

// Submit, once for a key, and wait.
const submission = {
  body: { workload_type: "sleep", input_params: { duration_ms: 1 }, labels: { team: "billing" } },
  params: { header: { "Idempotency-Key": "nightly-1", "X-Request-ID": "typescript-1" } },
} as const;
const first = await customer.POST("/v1/workloads", submission);
check("submitted", first.data !== undefined && first.response.status === 202);
check("the request id is the client's", first.response.headers.get("X-Request-ID") === "typescript-1");
const again = await customer.POST("/v1/workloads", submission);
check("submitted once", again.data?.workload_id === first.data.workload_id);

const id = first.data.workload_id;
const got = await customer.GET("/v1/workloads/{id}", { params: { path: { id }, query: { wait: "30s" } } });
check("read", got.data !== undefined);
const workload: Workload = got.data;
const status: "COMPLETED" extends Workload["status"] ? Workload["status"] : never = workload.status;
check(`completed, not ${status}`, status === "COMPLETED");
check("its times are text", Date.parse(workload.completed_at ?? "") > 0);

// Lists and their pages.
let cursor: string | undefined;
const seen: string[] = [];
await customer.POST("/v1/workloads/batch", {
  body: { workloads: [1, 2, 3].map((n) => ({ workload_type: "sleep", input_params: { duration_ms: n }, priority: n })) },
});
do {
  const page = await customer.GET("/v1/workloads", { params: { query: { limit: 3, cursor, status: ["PENDING",
    "SCHEDULED", "RUNNING", "COMPLETED"] } } });
  check("a page", page.data !== undefined);
  seen.push(...page.data.workloads.map((w) => w.workload_id));
  cursor = page.data.pagination.next_cursor ?? undefined;
} while (cursor !== undefined);
check(`all of them: ${seen.length}`, new Set(seen).size === 4);

const trail = await customer.GET("/v1/workloads/{id}/audit", { params: { path: { id } } });
check("audited", trail.data?.events[0]?.event_type === "workload.created");

// Errors have one type, whatever the status.
const missing = await customer.GET("/v1/workloads/{id}", { params: { path: { id: "wl_none" } } });
check("missing", missing.response.status === 404 && missing.error?.error.code === "NOT_FOUND");
const refused = await customer.POST("/v1/workloads/{id}/cancel", { params: { path: { id } }, body: {} });
check("refused", refused.error?.error.code === "INVALID_STATE" && refused.error.error.details["status"] === "COMPLETED");

// An admin's routes.
const workers = await admin.GET("/v1/admin/workers");
check("workers", workers.data?.workers[0]?.status === "HEALTHY");
const denied = await customer.GET("/v1/admin/workers");
check("denied", denied.error?.error.code === "FORBIDDEN");
const health = await customer.GET("/health");
check("healthy", health.data?.status === "healthy");

console.log("done");
