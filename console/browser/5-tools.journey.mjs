// What helps with long lists: saved views, export, the command palette, and the form of a submission.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { before } from "node:test";
import { adminKey, call, check, go, onboard, open, signIn, submit, until, workload } from "./setup.mjs";

let acme, other;
before(async () => {
  [acme, other] = [await onboard("Tools"), await onboard("Other tools")];
  for (let i = 0; i < 120; i++) {
    await submit(acme, "train", { i }, { labels: { team: i % 2 ? "billing" : "reports", note: "=1+1" } });
  }
});

/** saved returns the text of the file that a click saves. */
async function saved(page, click) {
  const [file] = await Promise.all([page.waitForEvent("download"), click()]);
  return { name: file.suggestedFilename(), text: await readFile(await file.path(), "utf8") };
}

test("a view is saved under a name, leads back to its filters, and is the customer's own", async (t) => {
  const page = await open(t, { path: "/workloads?label=team%3Dbilling&status=PENDING" });
  await signIn(page, acme.key);
  await page.getByRole("button", { name: "Save this view" }).click();
  await check(page, "the dialog that saves a view");
  await page.getByLabel("Name").fill("Billing waits");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("button", { name: "Forget Billing waits" }).waitFor();
  await go(page, "/workloads", "[data-row]");
  await page.getByRole("link", { name: "Billing waits" }).click();
  await page.waitForURL(/label=team%3Dbilling&status=PENDING|status=PENDING&label=team%3Dbilling/);
  await page.getByRole("link", { name: "Billing waits" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, other.key);
  await go(page, "/workloads", ".notice");
  assert.equal(await page.getByRole("link", { name: "Billing waits" }).count(), 0, "it is of another customer");
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, acme.key);
  await go(page, "/workloads?status=PENDING&label=team%3Dbilling", "[data-row]");
  await page.getByRole("button", { name: "Forget Billing waits" }).click();
  await page.getByRole("button", { name: "Save this view" }).waitFor();
});

test("an export has what the filters match, all pages of it", async (t) => {
  const page = await open(t, { path: "/workloads?label=team%3Dbilling" });
  await signIn(page, acme.key);
  await page.locator("[data-row]").first().waitFor();
  await page.getByRole("button", { name: "Export" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(/at most 10,000 rows/).waitFor();
  await check(page, "the dialog of an export");
  const csv = await saved(page, () => dialog.getByRole("button", { name: "Export" }).click());
  assert.equal(csv.name, "workloads.csv");
  const [head, ...rows] = csv.text.trimEnd().split("\r\n");
  assert.match(head, /^workload_id,customer_id,workload_type,status,/);
  assert.equal(rows.length, 60);
  await dialog.getByText("60 rows saved.").waitFor();
  await dialog.getByLabel("Format").selectOption("ndjson");
  const json = await saved(page, () => dialog.getByRole("button", { name: "Export" }).click());
  const all = json.text.trimEnd().split("\n").map((l) => JSON.parse(l));
  assert.deepEqual(new Set(all.map((w) => w.labels.team)), new Set(["billing"]));
  assert.equal(new Set(all.map((w) => w.workload_id)).size, 60);
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, adminKey);
  await go(page, `/audit?customer_id=${acme.id}`, "td");
  await page.getByRole("button", { name: "Export" }).click();
  const audit = await saved(page, () => page.getByRole("dialog").getByRole("button", { name: "Export" }).click());
  assert.equal(audit.name, "audit.csv");
  assert.match(audit.text, /customer\.created/);
});

test("the command palette leads to pages, ids, views and workers", async (t) => {
  const { workloads } = await call(acme.key, "GET", "/v1/workloads?limit=1");
  const page = await open(t);
  await signIn(page, adminKey);
  const type = async (text) => {
    await page.keyboard.press("Control+k");
    await page.getByLabel("Page, id, view or label").fill(text);
  };
  await type("audit");
  await page.getByRole("option", { name: "Audit" }).first().waitFor();
  await check(page, "the command palette");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/audit$/);
  await type(workloads[0].workload_id);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /train/ }).waitFor();
  await type("worker-a");
  await page.getByRole("option", { name: /worker-a/ }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/workers\/worker-a$/);
  await type("team=billing");
  await page.keyboard.press("Enter");
  await page.waitForURL(/label=team%3Dbilling/);
  await type("set");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/settings$/);
  await page.keyboard.press("Control+k");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

test("a submission states what it needs, with every digit, and its page shows it", async (t) => {
  const page = await open(t, { path: "/workloads" });
  await signIn(page, acme.key);
  await page.getByRole("button", { name: "Submit" }).click();
  const dialog = page.getByRole("dialog");
  await check(page, "the form of a submission");
  await dialog.getByRole("button", { name: "Submit" }).click();
  await dialog.getByText("Name the type.").waitFor();
  await dialog.getByLabel("Type", { exact: true }).fill("train");
  await dialog.getByLabel("Input, a JSON object").fill('{"seed": 9007199254740993}');
  await dialog.getByLabel("Labels").fill("team=submitted");
  await dialog.getByLabel("Cores").fill("0.5");
  await dialog.getByLabel("Memory, MiB").fill("2048");
  await dialog.getByLabel("GPUs, or a share of one").fill("2");
  await dialog.getByLabel("GPU models").fill("A10, L4");
  await dialog.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL(/\/workloads\/wl_/);
  await page.getByText("needs 0.5 cores, 2 GiB memory, 2 GPUs (A10 or L4)").waitFor();
  const id = page.url().split("/").at(-1);
  await page.getByRole("tab", { name: "Input, result" }).click();
  await page.getByText("9007199254740993").waitFor();
  assert.deepEqual((await workload(acme, id)).resources, { cpu_cores: 0.5, memory_mb: 2048, gpus: 2, gpu_models: ["A10", "L4"] });
});

test("a worker shows how much of its resources is allocated", async (t) => {
  const w = await submit(acme, "sleep", { duration_ms: 60_000, steps: 60 }, { resources: { memory_mb: 64, gpus: 0.5 } });
  const { worker_id: worker } = await until(async () => {
    const now = await workload(acme, w.workload_id);
    return now.status === "RUNNING" && now;
  }, "it runs");
  const page = await open(t, { path: `/workers/${worker}` });
  await signIn(page, adminKey);
  const row = page.getByRole("region", { name: "Resources" }).locator("tr", { hasText: "GPU L4" });
  await row.getByRole("cell").nth(1).getByText("0.5", { exact: true }).waitFor();
  await page.getByRole("listitem").filter({ hasText: "50%" }).waitFor();
  await go(page, `/workloads/${w.workload_id}`, ".gantt");
  await page.getByText(/holds 0\.5 of /).waitFor();
  await call(acme.key, "POST", `/v1/workloads/${w.workload_id}/cancel`, {});
});

test("a log shows where lines are missing", async (t) => {
  const w = await submit(acme, "exec", { command: ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo line $i; done"] });
  await until(async () => (await workload(acme, w.workload_id)).status === "COMPLETED", "it completes");
  const { logs } = await call(acme.key, "GET", `/v1/workloads/${w.workload_id}/logs`);
  const kept = (l) => !/line [345]/.test(l.message);
  const page = await open(t);
  // As if the storage had removed some lines to keep the others.
  await page.route(/\/v1\/workloads\/wl_[^/]*\/logs/, async (r) => {
    const answer = await r.fetch();
    const body = await answer.json();
    await r.fulfill({ response: answer, json: { ...body, logs: body.logs.filter(kept) } });
  });
  await signIn(page, acme.key);
  await go(page, `/workloads/${w.workload_id}?tab=logs`, ".msg");
  await page.locator(".l.gap", { hasText: "3 lines are missing here" }).waitFor();
  const shown = await page.locator(".log .l").allTextContents();
  assert.ok(/line 2/.test(shown[shown.findIndex((l) => /missing/.test(l)) - 1]), String(shown));
  await check(page, "a log that lacks lines");
  await page.getByLabel("Search").fill("line 8");
  await page.getByText("1 line", { exact: true }).waitFor();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
  assert.match(await readFile(await file.path(), "utf8"), /3 lines are missing here/);
  assert.ok(logs.length >= 8, "the server has them all");
});

test("an administrator sees what customers use, how long placing takes, and who leads", async (t) => {
  const uses = await onboard("Uses", { max_queue_depth: 2 });
  const done = await submit(uses, "sleep", { duration_ms: 100, steps: 1 });
  await until(async () => (await workload(uses, done.workload_id)).status === "COMPLETED", "it completes");
  for (let i = 0; i < 2; i++) await submit(uses, "train", { i });
  const { name, leader } = await call(adminKey, "GET", "/v1/admin/config");
  assert.equal(leader, name);
  const page = await open(t);
  await signIn(page, adminKey);
  await page.getByText(`Led by ${leader}, which serves this page`).waitFor();
  const tier = page.getByRole("region", { name: "By tier" }).locator("tr", { hasText: "premium" });
  await until(async () => /^\d/.test(await tier.getByRole("cell").nth(6).textContent()), "it says how long was waited");
  await page.getByRole("link", { name: "Customers", exact: true }).click();
  const row = page.locator("[data-row]", { hasText: uses.id });
  await row.getByText("2 / 2", { exact: true }).waitFor();
  await row.getByRole("link", { name: uses.id }).click();
  await page.getByRole("img", { name: "Finished workloads by hour: 1, of which 0 failed" }).waitFor();
  await check(page, "a customer that has finished something");
});
