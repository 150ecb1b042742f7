// What somebody does who has never seen the console: from the overview, without documentation. Each
// trial counts its clicks. They come first, as they need both workers.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { before } from "node:test";
import { adminKey, call, check, folder, onboard, open, signIn, submit, until, whole, workload } from "./setup.mjs";

/** others is how many workloads wait beside the one that is stuck. */
const others = whole ? 10_000 : 300;

let acme, busy;
before(async () => {
  [acme, busy] = [await onboard("Trials"), await onboard("Busy", { max_concurrent_workloads: 1 })];
});

/** undrained has worker-b take work again. */
const undrained = () => call(adminKey, "POST", "/v1/admin/workers/worker-b/undrain").catch(() => {});

/** clicker returns what clicks on a page, and how often it has. */
function clicker() {
  const clicks = { count: 0, on: async (locator) => { clicks.count++; await locator.click(); } };
  return clicks;
}

test(`the stuck workload among ${others} is found, explained and freed in four clicks`, async (t) => {
  for (let at = 0; at < others; at += 1000) {
    const workloads = Array.from({ length: Math.min(1000, others) }, () => ({
      workload_type: "sleep", input_params: { duration_ms: 600_000, steps: 10 }, labels: { batch: "many" },
    }));
    await call(busy.key, "POST", "/v1/workloads/batch", { workloads });
  }
  t.after(() => call(adminKey, "DELETE", `/v1/admin/customers/${busy.id}?force=true`));
  await call(adminKey, "POST", "/v1/admin/workers/worker-b/drain");
  t.after(undrained);
  const stuck = await submit(acme, "sleep", { duration_ms: 200, steps: 2 }, { affinity_rules: { hard_affinity: { worker_id: "worker-b" } } });
  const page = await open(t);
  await signIn(page, adminKey);
  const clicks = clicker();
  await page.getByRole("link", { name: `${busy.id} is at its limit` }).waitFor();
  const needs = page.getByRole("link", { name: /^1 that no worker can run/ });
  await needs.waitFor();
  await check(page, "an overview that needs attention");
  await page.screenshot({ path: `${folder}/attention.png` });
  await clicks.on(needs);
  await page.waitForURL(new RegExp(stuck.workload_id));
  await page.locator(".why").getByText(/1 worker draining/).waitFor();
  await check(page, "why it waits");
  await page.screenshot({ path: `${folder}/why.png` });
  await clicks.on(page.locator(".why").getByRole("link", { name: "worker-b", exact: true }));
  await clicks.on(page.getByRole("button", { name: "Undrain" }));
  await clicks.on(page.getByRole("dialog").getByRole("button", { name: "Undrain" }));
  await until(async () => (await workload(acme, stuck.workload_id)).status === "COMPLETED", "it runs");
  assert.equal(clicks.count, 4);
});

test("a customer is told what no worker can run, and why, in one click", async (t) => {
  const own = await onboard("Stuck");
  const page = await open(t);
  await signIn(page, own.key);
  await page.getByText("Nothing needs attention.").waitFor();
  const stuck = await submit(own, "exec", { command: ["true"] }, { affinity_rules: { hard_affinity: { worker_tags: { zone: "moon" } } } });
  const needs = page.getByRole("link", { name: /^1 of type exec that no worker can run/ });
  await needs.waitFor();
  await check(page, "an overview of what no worker can run");
  await page.screenshot({ path: `${folder}/unplaceable.png` });
  await needs.click();
  await page.waitForURL(new RegExp(stuck.workload_id));
  await page.locator(".why").getByText(/without tag zone=moon/).waitFor();
  await submit(own, "exec", { command: ["true"] }, { affinity_rules: { hard_affinity: { worker_tags: { zone: "moon" } } } });
  await page.getByRole("link", { name: "Overview", exact: true }).click();
  await page.getByRole("link", { name: /^2 of type exec that no worker can run/ }).click();
  await page.waitForURL(/type=exec/);
  await until(async () => (await page.locator("[data-row]").count()) === 2, "both are listed");
});

test("the worker that is late is the first of the list, and is drained there", async (t) => {
  t.after(undrained);
  const page = await open(t);
  // A worker whose heartbeats come late, as the server would tell.
  await page.route(/\/v1\/admin\/workers\?/, async (r) => {
    const answer = await r.fetch();
    const body = await answer.json();
    for (const w of body.workers) {
      // The others are in time, however busy the machine is.
      const age = w.worker_id === "worker-b" ? 8_000 : 0;
      w.last_heartbeat = new Date(Date.now() - age).toISOString();
      w.lease_until = new Date(Date.now() - age + 10_000).toISOString();
    }
    await r.fulfill({ response: answer, json: body });
  });
  await signIn(page, adminKey);
  const clicks = clicker();
  await clicks.on(page.getByRole("link", { name: /^1 worker is late/ }));
  const row = page.locator("[data-row]").first();
  await row.getByText("Late").waitFor();
  await row.getByText("worker-b").waitFor();
  await check(page, "late workers");
  await clicks.on(row.getByRole("button", { name: "Drain", exact: true }));
  await clicks.on(page.getByRole("dialog").getByRole("button", { name: "Drain", exact: true }));
  await until(async () => (await call(adminKey, "GET", "/v1/admin/workers/worker-b")).status === "DRAINING", "it drains");
  assert.equal(clicks.count, 3);
});

test("who changed a limit is found from the customer", async (t) => {
  const { key_id: other, key } = await call(adminKey, "POST", "/v1/admin/keys", { name: "night shift", role: "admin" });
  await call(key, "PATCH", `/v1/admin/customers/${acme.id}`, { limits: { max_queue_depth: 1234 } });
  const page = await open(t);
  await signIn(page, adminKey);
  const clicks = clicker();
  await clicks.on(page.getByRole("link", { name: "Customers", exact: true }));
  await clicks.on(page.getByRole("link", { name: acme.id, exact: true }));
  await clicks.on(page.getByRole("link", { name: "Who changed it" }));
  const row = page.locator("tbody tr", { hasText: "customer.updated" }).first();
  await row.getByText("night shift").waitFor();
  await clicks.on(row.getByText("limits", { exact: true }));
  await row.getByText(/1234/).waitFor();
  assert.match(await row.textContent(), new RegExp(other));
  assert.equal(clicks.count, 4);
  await check(page, "the audit of a customer");
  await page.getByLabel("Action").fill("customer.created");
  await page.getByLabel("Action").press("Enter");
  await page.waitForURL(/event_type=customer\.created/);
});

test("a key is rotated: the new one is shown once, the old one is revoked when asked to", async (t) => {
  const page = await open(t, { path: `/customers/${acme.id}` });
  await signIn(page, adminKey);
  await page.locator("tr", { hasText: acme.viewerKeyID }).getByRole("button", { name: "Rotate" }).click();
  await page.getByRole("button", { name: "Make it" }).click();
  const key = await page.locator(".secret").textContent();
  await page.getByRole("button", { name: "Revoke the old one" }).click();
  await page.getByRole("dialog").getByText(acme.viewerKeyID).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke", exact: true }).click();
  await page.locator("tr", { hasText: acme.viewerKeyID }).waitFor({ state: "detached" });
  assert.equal((await call(key, "GET", "/v1/customer")).customer_id, acme.id);
  await page.getByLabel("Revoked too").click();
  await page.waitForURL(/keys=all/);
  await page.locator("tr", { hasText: acme.viewerKeyID }).getByText(/revoked/).waitFor();
});

test("a checkpoint is inspected, downloaded, and resumed from", async (t) => {
  const w = await submit(acme, "sleep", { duration_ms: 60_000, steps: 600 });
  await until(async () => (await workload(acme, w.workload_id)).checkpoint_sequence >= 3, "it saves checkpoints");
  await call(acme.key, "POST", `/v1/workloads/${w.workload_id}/cancel`, {});
  const page = await open(t, { path: `/workloads/${w.workload_id}?tab=checkpoints` });
  await signIn(page, acme.key);
  const row = page.locator("[role=tabpanel] tbody tr").nth(1);
  const sequence = await row.locator("td").first().textContent();
  await row.getByRole("button", { name: "Inspect" }).click();
  const dialog = page.getByRole("dialog", { name: `Checkpoint ${sequence}` });
  await dialog.locator(".tree, .bytes").waitFor();
  await check(page, "a checkpoint");
  const shown = await dialog.locator(".leaf, .bytes").allTextContents();
  await dialog.getByRole("button", { name: "Close" }).click();
  const [file] = await Promise.all([page.waitForEvent("download"), row.getByRole("link", { name: "Download" }).click()]);
  assert.equal(file.suggestedFilename(), `${w.workload_id}-checkpoint-${sequence}`);
  const bytes = await readFile(await file.path(), "utf8");
  assert.ok(shown.some((s) => bytes.includes(s.split(": ").at(-1))), `${shown} is not in ${bytes}`);
  await row.getByRole("button", { name: "Resume from here" }).click();
  assert.equal(await page.getByLabel("It goes on from").inputValue(), sequence);
  await page.getByRole("dialog").getByRole("button", { name: "Retry" }).click();
  await page.waitForURL((u) => !u.pathname.includes(w.workload_id));
  await page.getByRole("link", { name: w.workload_id }).waitFor();
  await call(acme.key, "POST", `/v1/workloads/${page.url().split("/").at(-1)}/cancel`, {});
});

test("a text does not widen what is acted on, and lists begin with the oldest if asked", async (t) => {
  const label = { label: "widen" };
  const [first, second] = [await submit(acme, "train", {}, { labels: label }), await submit(acme, "report", {}, { labels: label })];
  const page = await open(t, { path: "/workloads?label=label%3Dwiden&q=report" });
  await signIn(page, acme.key);
  await page.locator("[data-row]", { hasText: second.workload_id }).waitFor();
  assert.equal(await page.locator("[data-row]").count(), 1);
  assert.ok(await page.getByRole("button", { name: "Select all that match" }).isDisabled(), "the server knows no filter by text");
  await page.getByLabel("Select all loaded rows").check();
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel 1", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await until(async () => (await workload(acme, second.workload_id)).status === "CANCELLED", "it is cancelled");
  assert.equal((await workload(acme, first.workload_id)).status, "PENDING");
  await page.getByLabel("Text in these rows").fill("");
  await page.getByLabel("Text in these rows").press("Enter");
  await page.getByLabel("Order").selectOption("oldest");
  await page.waitForURL(/order=oldest/);
  await until(async () => (await page.locator("[data-row] a[data-open]").allTextContents()).join() === [first, second].map((w) => w.workload_id).join(),
    "the oldest is the first");
});

test("what cannot be read again stays, and says from when it is", async (t) => {
  const page = await open(t, { path: "/workers", allow: [/status of 503/] });
  await signIn(page, adminKey);
  await page.locator("[data-row]").first().waitFor();
  const fails = { status: 503, contentType: "application/json",
    body: JSON.stringify({ error: { code: "SERVICE_UNAVAILABLE", message: "the storage does not answer", details: {}, request_id: "req_7" } }) };
  await page.route(/\/v1\/admin\/workers/, (r) => r.fulfill(fails));
  await page.getByText("req_7").waitFor({ timeout: 30_000 });
  assert.ok(await page.locator("[data-row]").count() > 0, "the rows stay");
  await check(page, "what is outdated");
  await page.unroute(/\/v1\/admin\/workers/);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("req_7").waitFor({ state: "detached" });
});

test("ages and leases are told by the server's clock", async (t) => {
  const page = await open(t, { path: "/workers" });
  await page.clock.install({ time: Date.now() + 3_600_000 });
  await page.reload();
  await signIn(page, adminKey);
  await page.locator("[data-row]", { hasText: "worker-b" }).getByText("Healthy").waitFor();
});
