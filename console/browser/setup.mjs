// What the journeys share: the fleet that the Go test has started, the API, and pages that are
// watched for errors.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after } from "node:test";
import { chromium } from "playwright-core";

/** setup is what the Go test lets the journeys know. */
export const setup = JSON.parse(process.env.NIYANTA_BROWSER_SETUP);

export const { url, admin_key: adminKey, worker_pids: workerPids, folder, whole, link, watched, chromium: executablePath } = setup;

/** patience is how long is waited for what a page or the fleet should come to, in ms. A busy machine takes long. */
const patience = 60_000;

/** onlyWhole is why a journey is left out. */
export const onlyWhole = "only the whole run has it: make browser";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** call makes a request of the API with a key. */
export async function call(key, method, path, body) {
  const r = await fetch(url + path, {
    method, headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await r.text();
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** onboard makes a customer with room for long lists, and a key of each role. */
export async function onboard(name, more = {}) {
  const limits = { max_concurrent_workloads: 50, max_queue_depth: 200_000, rate_limit_per_sec: 20_000, burst: 20_000, ...more };
  const { customer_id: id } = await call(adminKey, "POST", "/v1/admin/customers", { name, tier: "premium", limits });
  const key = (role) => call(adminKey, "POST", `/v1/admin/customers/${id}/keys`, { role, name: `${name}, ${role}` });
  const [customer, viewer] = [await key("customer"), await key("viewer")];
  return { id, key: customer.key, keyID: customer.key_id, viewerKey: viewer.key, viewerKeyID: viewer.key_id };
}

export const submit = (customer, type, input, more = {}) =>
  call(customer.key, "POST", "/v1/workloads", { workload_type: type, input_params: input, ...more });

export const workload = (customer, id) => call(customer.key, "GET", `/v1/workloads/${id}`);

let browser;
after(() => browser?.close());

/** open returns a page that shows a path, and fails the test at its end for whatever went wrong in it. */
export async function open(t, { width = 1440, scheme = "light", path = "/", allow = [] } = {}) {
  browser ??= await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const context = await browser.newContext({
    viewport: { width, height: 900 }, colorScheme: scheme, reducedMotion: "reduce", acceptDownloads: true,
  });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const problems = watch(page, allow);
  await page.goto(url + path);
  t.after(async () => {
    if (t.passed === false && !page.isClosed()) await page.screenshot({ path: `${folder}/failed-${Date.now()}.png` });
    await page.unrouteAll({ behavior: "ignoreErrors" }); // a request may still be on its way
    await context.close();
    assert.deepEqual(problems, [], "the page had problems");
  });
  return page;
}

/** watch collects what goes wrong in a page: errors, and violations of its content security policy. */
export function watch(page, allow = []) {
  const problems = [];
  const note = (text) => allow.some((a) => a.test(text)) || problems.push(`${page.url()}: ${text}`);
  page.on("pageerror", (e) => note(`uncaught ${e}`));
  page.on("console", (m) => {
    // A page that asks whether it is signed in is answered 401.
    if (m.type() === "error" && !/status of 401/.test(m.text())) note(`console: ${m.text()}`);
  });
  page.on("requestfailed", (r) => {
    if (!/ERR_ABORTED/.test(r.failure()?.errorText ?? "")) note(`request: ${r.url()} ${r.failure()?.errorText}`);
  });
  page.on("request", (r) => {
    if (!/^(data|blob):/.test(r.url()) && new URL(r.url()).origin !== url) note(`a request to ${r.url()}`);
  });
  return problems;
}

/** signIn signs in with a key, at the page that is open. */
export async function signIn(page, key) {
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

/** go leads a page that is signed in to a path, as a link does. */
export async function go(page, path, ready) {
  await page.goto(url + path);
  if (ready) await page.locator(ready).first().waitFor();
}

/** check fails for what axe finds that is serious, and for a page that is wider than its window. */
export async function check(page, name) {
  await page.evaluate(() => document.fonts.ready);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${name}: the page is ${wide} px wider than its window`);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((v) => v.impact === "serious" || v.impact === "critical").map((v) =>
    `${v.id}: ${v.nodes.slice(0, 3).map((n) => `${n.target} ${n.failureSummary?.split("\n")[1] ?? ""}`).join(" | ")}`);
  assert.deepEqual(serious, [], name);
}

/** until calls f until it returns something true, and returns that. */
export async function until(f, what, seconds = patience / 1000) {
  for (const end = Date.now() + seconds * 1000; ; ) {
    const value = await f();
    if (value) return value;
    assert.ok(Date.now() < end, `${what} did not come true within ${seconds} s`);
    await new Promise((r) => setTimeout(r, 50));
  }
}
