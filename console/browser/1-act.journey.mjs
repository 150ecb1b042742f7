// What people do: sign in, find, watch, act.
import assert from "node:assert/strict";
import test, { before } from "node:test";
import { adminKey, call, check, folder, go, onboard, open, signIn, submit, until, workerPids, workload } from "./setup.mjs";

let acme;
before(async () => { acme = await onboard("Acme"); });

test("signing in says what is wrong with a key, and leads to the page that was asked for", async (t) => {
  const page = await open(t, { path: "/workloads?status=FAILED" });
  await page.getByLabel("API key").fill("nyt_cust_none_00000000000000000000000000000000");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("No such key, or it was revoked or has expired.").waitFor();
  await signIn(page, acme.key);
  await page.getByText("No workload matches").waitFor();
  assert.match(page.url(), /\/workloads\?status=FAILED$/);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("API key").waitFor();
  await page.reload();
  await page.getByLabel("API key").waitFor();
});

test("a list filters by its address, changes in place, and holds back what is new", async (t) => {
  const mine = await submit(acme, "sleep", { duration_ms: 1500, steps: 3 }, { labels: { team: "billing" } });
  await submit(acme, "train", { seed: 1 }, { labels: { team: "reports" } });
  const page = await open(t, { path: "/workloads" });
  await signIn(page, acme.key);
  const row = page.locator("[data-row]", { hasText: mine.workload_id });
  await row.getByText("Completed").waitFor(); // no reload
  await page.getByLabel("Add label").fill("team=reports");
  await page.getByLabel("Add label").press("Enter");
  await page.waitForURL(/label=team%3Dreports/);
  await until(async () => (await page.locator("[data-row]").allTextContents()).map((r) => /train/.test(r)).join() === "true",
    "only the row that matches is left");
  await page.getByRole("button", { name: "team=reports" }).click();
  await row.waitFor();
  // The rows may be read again meanwhile, as they are when they are some seconds old: then nothing is new.
  const news = page.getByRole("button", { name: /1 new/ });
  let later;
  await until(async () => {
    later = page.locator("[data-row]", { hasText: (await submit(acme, "sleep", { duration_ms: 100 })).workload_id });
    await news.or(later).first().waitFor();
    return news.isVisible();
  }, "what is new is held back");
  await news.click();
  await later.waitFor();
});

test("keys lead through the pages and the rows", async (t) => {
  const page = await open(t);
  await signIn(page, acme.key);
  await until(async () => { // the second key counts only soon after the first one
    await page.keyboard.press("g");
    await page.keyboard.press("w");
    return page.url().endsWith("/workloads");
  }, "the keys lead to the workloads");
  await page.locator("[data-row]").nth(1).waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  const at = await page.evaluate(() => document.activeElement.textContent);
  assert.equal(at, await page.locator("[data-row] a[data-open]").nth(1).textContent());
  await page.keyboard.press("Enter");
  await page.locator(".gantt").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("team=billing");
  await page.keyboard.press("Enter");
  await page.waitForURL(/label=team%3Dbilling/);
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

test("the timeline shows a workload move when its worker is killed, while it is open", async (t) => {
  const page = await open(t, { path: "/workloads" });
  await signIn(page, acme.key);
  // It outlasts the opening of its page, however slow the machine is.
  const w = await submit(acme, "sleep", { duration_ms: 20_000, steps: 100 });
  await go(page, `/workloads/${w.workload_id}`, ".gantt li");
  const { worker_id: victim } = await until(async () => {
    const now = await workload(acme, w.workload_id);
    return now.checkpoint_sequence >= 3 && now.worker_id && now;
  }, "it saves checkpoints");
  process.kill(workerPids[victim], "SIGKILL");
  const rows = page.locator(".gantt li");
  await rows.nth(1).locator(".seg.running").waitFor();
  assert.match(await rows.nth(0).textContent(), new RegExp(`g1 ${victim}.*lost`));
  await rows.nth(0).locator(".mk.checkpoint").first().waitFor(); // its checkpoints are marked
  await page.screenshot({ path: `${folder}/worker-killed.png` });
  await page.locator(".sentence", { hasText: "Completed" }).waitFor({ timeout: 120_000 });
  const done = await workload(acme, w.workload_id);
  assert.equal(done.generation, 2);
  await page.getByRole("img", { name: /^Progress over time: 100% on 2 runs, \d+ checkpoints$/ }).waitFor();
  assert.ok(done.result_data.resumed_at_step === undefined || done.result_data.resumed_at_step > 0);
  await check(page, "the workload");
});

test("batch operations count first, then act on all that match and on nothing else", async (t) => {
  const matching = [];
  for (let i = 0; i < 5; i++) matching.push(await submit(acme, "train", { seed: i }, { labels: { batch: "old" } }));
  const other = await submit(acme, "train", { seed: 9 }, { labels: { batch: "new" } });
  const page = await open(t, { path: "/workloads?label=batch%3Dold" });
  await signIn(page, acme.key);
  await page.locator("[data-row]").nth(4).waitFor();
  await page.getByRole("button", { name: "Select all that match" }).click();
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel workloads" });
  await dialog.getByText(/5 workloads match, counted at/).waitFor();
  assert.equal((await workload(acme, matching[0].workload_id)).status, "PENDING", "counting changes nothing");
  await page.screenshot({ path: `${folder}/cancel-by-filter.png` });
  await dialog.getByLabel("Reason, kept in the audit trail").fill("submitted twice");
  await dialog.getByRole("button", { name: "Cancel 5" }).click();
  await dialog.getByText("5 done").waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await page.locator("[data-row]", { hasText: "Cancelled" }).nth(4).waitFor();
  for (const m of matching) assert.equal((await workload(acme, m.workload_id)).status, "CANCELLED");
  assert.equal((await workload(acme, other.workload_id)).status, "PENDING");
});

test("a workload is cancelled with a reason, and what waits says why", async (t) => {
  const w = await submit(acme, "train", { seed: 2 });
  const page = await open(t, { path: `/workloads/${w.workload_id}` });
  await signIn(page, acme.key);
  await page.locator(".why").getByText(/no worker offers|No worker/i).first().waitFor();
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByLabel("Reason, kept in the audit trail").fill("not needed");
  await page.getByRole("button", { name: "Cancel the workload" }).click();
  await page.locator(".sentence", { hasText: "Cancelled" }).waitFor();
  assert.equal((await workload(acme, w.workload_id)).status, "CANCELLED");
});

test("an administrator drains a worker and takes that back", async (t) => {
  const { workers } = await call(adminKey, "GET", "/v1/admin/workers?status=HEALTHY");
  const [{ worker_id: id }] = workers;
  const page = await open(t, { path: "/workers" });
  await signIn(page, adminKey);
  await page.getByRole("link", { name: id, exact: true }).click();
  await page.getByRole("heading", { name: id }).waitFor();
  await page.getByRole("button", { name: "Drain", exact: true }).click();
  await page.getByRole("dialog").getByText(/saves a checkpoint, stops and goes on elsewhere/).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Drain", exact: true }).click();
  await page.locator(".sentence", { hasText: "Draining" }).waitFor();
  assert.equal((await call(adminKey, "GET", `/v1/admin/workers/${id}`)).status, "DRAINING");
  await page.getByRole("button", { name: "Undrain" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Undrain" }).click();
  await page.locator(".sentence", { hasText: "Healthy" }).waitFor();
  await go(page, "/audit", "td");
  await page.getByRole("button", { name: "worker.drained" }).or(page.getByText(/drain/)).first().waitFor();
});

test("an administrator finds what is blocked among the queues, and why", async (t) => {
  await submit(acme, "render", { scene: 1 }, { priority: 70 });
  const page = await open(t, { path: "/queues?type=render" });
  await signIn(page, adminKey);
  const lane = page.locator("[data-row]", { hasText: acme.id });
  await lane.getByText("Blocked").waitFor();
  await lane.getByRole("link", { name: /no worker offers type "render" yet/ }).waitFor();
  await page.getByLabel("Customer").fill("cust_nobody");
  await page.getByLabel("Customer").press("Enter");
  await page.getByText("No lane matches").waitFor();
  await page.goBack();
  await go(page, "/queues?type=render", "[data-row]");
  await lane.getByRole("link", { name: "render", exact: true }).click();
  await page.waitForURL(/\/workloads\?.*type=render/);
  await page.locator("[data-row]").first().waitFor();
});

test("an administrator reads the configuration, without its secrets", async (t) => {
  const page = await open(t, { path: "/settings?setting=KEY" });
  await signIn(page, adminKey);
  await page.locator("tr", { hasText: "NIYANTA_ADMIN_KEY" }).getByText("********").waitFor();
  assert.doesNotMatch(await page.content(), new RegExp(adminKey));
});

test("a customer that is being removed says how much is left", async (t) => {
  const gone = await onboard("Gone");
  await submit(gone, "train", {});
  const page = await open(t, { path: `/customers/${gone.id}`, allow: [/status of 404/] });
  await signIn(page, adminKey);
  await page.locator(".sentence", { hasText: "Active" }).waitFor();
  await page.route(/\/v1\/admin\/customers\/cust_/, async (r) => {
    const answer = await r.fetch();
    const deleting = { since: new Date().toISOString(), remaining: 1200, remaining_estimated: false };
    await r.fulfill({ response: answer, json: { ...(await answer.json()), deleting } });
  });
  await page.locator(".sentence", { hasText: "1,200 workloads are left" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Change" }).count(), 0);
  await page.unroute(/\/v1\/admin\/customers\/cust_/);
  await call(adminKey, "DELETE", `/v1/admin/customers/${gone.id}?force=true`);
  await page.getByText("There is no such thing").or(page.locator(".sentence", { hasText: "Deleting" })).first().waitFor();
});

test("an administrator onboards a customer, makes a key, changes a limit and suspends", async (t) => {
  const page = await open(t, { path: "/customers" });
  await signIn(page, adminKey);
  await page.getByRole("button", { name: "Onboard" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Initech");
  await page.getByRole("dialog").getByRole("button", { name: "Onboard" }).click();
  await page.getByRole("heading", { name: /Initech/ }).first().waitFor();
  await page.getByRole("button", { name: "Make a key" }).click();
  await page.getByRole("button", { name: "Make it" }).click();
  const key = await page.locator(".secret").textContent();
  await page.getByRole("button", { name: "I have it" }).click();
  assert.equal((await call(key, "GET", "/v1/customer")).name, "Initech");
  await page.getByRole("button", { name: "Change" }).click();
  await page.getByLabel(/Running at most|concurrent/i).first().fill("7");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("/ 7").first().waitFor();
  assert.equal((await call(key, "GET", "/v1/customer")).limits.max_concurrent_workloads, 7);
  await page.getByRole("button", { name: "Suspend" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Suspend" }).click();
  await page.locator(".sentence", { hasText: "Suspended" }).waitFor();
});
