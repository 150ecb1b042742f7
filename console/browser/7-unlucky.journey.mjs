// What happens between the console and the server: answers that are lost or late, and others who act meanwhile.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import test, { before } from "node:test";
import { adminKey, call, folder, onboard, open, signIn, submit, until, url } from "./setup.mjs";

let acme;
before(async () => { acme = await onboard("Unlucky"); });

const lost = [/ERR_FAILED/];

/** gate is a promise and what resolves it. */
function gate() {
  let open;
  return { passed: new Promise((r) => { open = r; }), open };
}

/** loseFirst has the first answer to a path lost after the server has given it. */
async function loseFirst(page, path, status) {
  const keys = [];
  await page.route(path, async (r) => {
    if (r.request().method() !== "POST") return r.continue();
    keys.push(r.request().headers()["idempotency-key"]);
    const answer = await r.fetch();
    const first = answer.status() === status && keys.filter((k) => k === keys.at(-1)).length === 1;
    return first ? r.abort() : r.fulfill({ response: answer });
  });
  return keys;
}

const workloadsOf = async (query) => (await call(acme.key, "GET", `/v1/workloads?${query}`)).workloads;

test("a retry whose answer was lost makes one workload, in another dialog too", async (t) => {
  const w = await submit(acme, "unlucky-retry", {});
  await call(acme.key, "POST", `/v1/workloads/${w.workload_id}/cancel`, {});
  const page = await open(t, { path: `/workloads/${w.workload_id}`, allow: lost });
  await signIn(page, acme.key);
  const keys = await loseFirst(page, /\/retry$/, 202);
  const dialog = page.getByRole("dialog");
  await page.getByRole("button", { name: "Retry", exact: true }).click();
  await dialog.getByRole("button", { name: "Retry", exact: true }).click();
  await dialog.getByText("The server cannot be reached").waitFor();
  await dialog.getByRole("button", { name: "Leave it" }).click();
  await page.getByRole("button", { name: "Retry", exact: true }).click();
  await dialog.getByRole("button", { name: "Retry", exact: true }).click();
  await page.getByText(/retry of/).waitFor();
  const made = (await workloadsOf("workload_type=unlucky-retry")).filter((x) => x.workload_id !== w.workload_id);
  assert.deepEqual(made.map((x) => x.retry_of), [w.workload_id]);
  assert.equal(new Set(keys).size, 1);
});

test("a submission that was refused, changed, lost and sent again makes one workload", async (t) => {
  const page = await open(t, { path: "/workloads", allow: [...lost, /status of 400/] });
  await signIn(page, acme.key);
  await loseFirst(page, /\/v1\/workloads$/, 202);
  await page.getByRole("button", { name: "Submit", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Type", { exact: true }).fill("unlucky-submit");
  await dialog.getByLabel("Priority").fill("100000");
  await dialog.getByRole("button", { name: "Submit" }).click();
  await dialog.getByText(/priority/).last().waitFor();
  await dialog.getByLabel("Priority").fill("20");
  await dialog.getByRole("button", { name: "Submit" }).click();
  await dialog.getByText("The server cannot be reached").waitFor();
  await dialog.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL(/\/workloads\/wl_/);
  assert.equal((await workloadsOf("workload_type=unlucky-submit")).length, 1);
});

test("a form changes only what was changed in it, whatever others change meanwhile", async (t) => {
  const { id } = await onboard("Shared");
  const page = await open(t, { path: `/customers/${id}` });
  await signIn(page, adminKey);
  await page.getByRole("button", { name: "Change" }).click();
  await call(adminKey, "PATCH", `/v1/admin/customers/${id}`, { tier: "enterprise" });
  await page.locator(".sentence", { hasText: "Tier enterprise." }).waitFor();
  await page.getByLabel("Name", { exact: true }).fill("Renamed");
  const [request] = await Promise.all([
    page.waitForRequest((r) => r.method() === "PATCH"), page.getByRole("button", { name: "Save" }).click(),
  ]);
  assert.deepEqual(request.postDataJSON(), { name: "Renamed" });
  await page.getByRole("heading", { name: /Renamed/ }).first().waitFor();
  assert.equal((await call(adminKey, "GET", `/v1/admin/customers/${id}`)).tier, "enterprise");
});

test("the keys of a customer are all there, and one that is rotated lives as long again", async (t) => {
  const { id } = await onboard("Keys");
  const day = 86_400_000;
  for (let i = 0; i < 100; i++) await call(adminKey, "POST", `/v1/admin/customers/${id}/keys`, { role: "customer", name: `key ${i}` });
  await call(adminKey, "POST", `/v1/admin/customers/${id}/keys`, {
    role: "viewer", name: "newest", expires_at: new Date(Date.now() + 30 * day).toISOString(),
  });
  const page = await open(t, { path: `/customers/${id}` });
  await signIn(page, adminKey);
  await page.locator("tr", { hasText: "newest" }).getByRole("button", { name: "Rotate" }).click();
  const [answer] = await Promise.all([
    page.waitForResponse((r) => r.request().method() === "POST" && r.url().endsWith("/keys")),
    page.getByRole("button", { name: "Make it" }).click(),
  ]);
  const made = await answer.json();
  assert.equal(made.role, "viewer");
  assert.ok(Math.abs(Date.parse(made.expires_at) - Date.now() - 30 * day) < day, made.expires_at);
  await page.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("button", { name: "Make a key" }).click();
  assert.equal(await page.getByLabel("Role").inputValue(), "customer");
  assert.equal(await page.getByLabel(/^Expires/).inputValue(), "");
});

test("signing out says when it has failed, and ends the session in every tab", async (t) => {
  const page = await open(t, { allow: [/status of 503/] });
  await signIn(page, acme.key);
  const other = await page.context().newPage();
  await other.goto(url);
  await other.getByRole("button", { name: "Sign out" }).waitFor();
  await page.route(/\/v1\/session$/, (r) => (r.request().method() === "DELETE"
    ? r.fulfill({ status: 503, json: { error: { code: "UNAVAILABLE", message: "the store cannot be reached" } } }) : r.continue()));
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are still signed in: the store cannot be reached").waitFor();
  await page.unroute(/\/v1\/session$/);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("API key").waitFor();
  await other.getByText("You signed out in another tab.").waitFor();
  assert.equal(await page.getByText("You signed out in another tab.").count(), 0, "this is the tab");
});

test("lines that come while the log is read are shown", async (t) => {
  const flag = `${folder}/unlucky-go`;
  const w = await submit(acme, "exec", { command: ["sh", "-c", `echo first; while [ ! -e '${flag}' ]; do sleep 0.1; done; echo last`] });
  const logs = async () => (await call(acme.key, "GET", `/v1/workloads/${w.workload_id}/logs`)).logs.map((l) => l.message);
  await until(async () => (await logs()).includes("first"), "it logs");
  const page = await open(t, { path: `/workloads/${w.workload_id}` });
  const held = gate();
  t.after(() => held.open());
  const read = gate();
  await page.route(/\/logs\?/, async (r) => {
    const answer = await r.fetch();
    read.open();
    await held.passed;
    await r.fulfill({ response: answer });
  }, { times: 1 });
  await signIn(page, acme.key);
  await read.passed;
  await writeFile(flag, "");
  await page.locator(".sentence", { hasText: "Completed" }).waitFor(); // the event behind the line
  held.open();
  await page.locator(".msg", { hasText: "first" }).waitFor();
  await page.locator(".msg", { hasText: "last" }).waitFor();
  assert.equal(await page.getByText(/missing here/).count(), 0);
});

test("a batch operation acts on what was counted, and on nothing that came since", async (t) => {
  const before = await submit(acme, "unlucky-batch", {});
  const page = await open(t, { path: "/workloads?type=unlucky-batch" });
  await signIn(page, acme.key);
  await page.getByLabel("Created after").fill("2026-01-02T03:04");
  await page.waitForURL(/after=2026-01-0\dT\d\d%3A\d\d%3A00.000Z/);
  await until(async () => await page.getByLabel("Created after").inputValue() === "2026-01-02T03:04", "the field has the time");
  await page.getByLabel("Created after").fill("");
  await page.locator("[data-row]").first().waitFor();
  await page.getByRole("button", { name: "Select all that match" }).click();
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  const dialog = page.getByRole("dialog", { name: "Cancel workloads" });
  await dialog.getByText(/1 workload matches, counted at/).waitFor();
  const since = await submit(acme, "unlucky-batch", {});
  await dialog.getByRole("button", { name: "Cancel 1" }).click();
  await dialog.getByText("1 done").waitFor();
  const status = Object.fromEntries((await workloadsOf("workload_type=unlucky-batch")).map((w) => [w.workload_id, w.status]));
  assert.deepEqual(status, { [before.workload_id]: "CANCELLED", [since.workload_id]: "PENDING" });
});

test("a hidden page lets go of its stream, and goes on behind the last event when it is seen", async (t) => {
  const page = await open(t, { path: "/workloads" });
  const streams = [];
  page.on("request", (r) => r.url().endsWith("/v1/events") && streams.push(r.headers()["last-event-id"]));
  await signIn(page, acme.key);
  const state = page.locator(".stream [role=status]");
  await state.getByText("Live").waitFor();
  await submit(acme, "unlucky-hidden", {});
  await page.getByRole("button", { name: /1 new/ }).waitFor();
  const begun = streams.length;
  await page.clock.install();
  const hide = (hidden) => page.evaluate((h) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => h });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(true);
  await page.clock.fastForward(31_000);
  await state.getByText("Connecting").waitFor();
  await submit(acme, "unlucky-hidden", {});
  assert.equal(streams.length, begun, "it has none while it is hidden");
  await hide(false);
  await page.getByRole("button", { name: /2 new/ }).waitFor();
  assert.ok(streams.at(-1), "it goes on behind an event");
});
