// Every page, empty and full, is sound for axe and fits its window. Screenshots are kept to be looked at.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import test, { before } from "node:test";
import { adminKey, call, check, folder, go, onboard, onlyWhole, open, signIn, submit, until, whole, workload } from "./setup.mjs";

const sizes = [[1440, "light"], [1440, "dark"], [390, "light"], [390, "dark"]];

/** looks are who looks at the pages, and how. Each role has one look, the whole run has all. */
const looks = ["customer", "empty", "admin"].flatMap((who) => sizes.map(([width, scheme]) => [who, width, scheme]))
  .filter((look) => whole || ["customer,1440,light", "admin,390,dark"].includes(String(look)));

let full, empty, seen;
before(async () => {
  mkdirSync(folder, { recursive: true });
  [full, empty] = [await onboard("Full"), await onboard("Empty")];
  // It outlasts all pages in all sizes, however slow the machine is.
  const running = await submit(full, "sleep", { duration_ms: 7_200_000, steps: 7_200 }, { labels: { team: "billing" }, priority: 90 });
  const done = await submit(full, "sleep", { duration_ms: 600, steps: 3 }, { labels: { team: "reports", month: "2026-07" } });
  const failed = await submit(full, "exec", { command: ["sh", "-c", "echo no disk left >&2; exit 65"] });
  const stuck = await submit(full, "train", { seed: 1, steps: 9007199254740993 });
  const stopped = await submit(full, "train", { seed: 2 });
  await call(full.key, "POST", `/v1/workloads/${stopped.workload_id}/cancel`, { reason: "submitted twice" });
  const is = (w, status) => until(async () => (await workload(full, w.workload_id)).status === status, `${w.workload_id} is ${status}`);
  await Promise.all([is(running, "RUNNING"), is(done, "COMPLETED"), is(failed, "FAILED")]);
  await until(async () => (await workload(full, running.workload_id)).progress_percent > 0, "it makes a step");
  await call(full.key, "POST", `/v1/workloads/${running.workload_id}/checkpoint`); // its own would come much later
  await until(async () => (await workload(full, running.workload_id)).checkpoint_sequence >= 1, "it saves a checkpoint");
  const { workers } = await call(adminKey, "GET", "/v1/admin/workers?status=HEALTHY");
  seen = { running, done, failed, stuck, worker: workers[0].worker_id };
});

/** pagesOf lists what a role sees: name, path, and what is there when it is shown. */
function pagesOf(who) {
  const w = (x) => `/workloads/${seen[x].workload_id}`;
  const own = [
    ["overview", "/", ".uplot"],
    ["workloads", "/workloads", who === "empty" ? ".notice" : "[data-row]"],
    ["no-match", "/workloads?label=team%3Dnobody", ".notice"],
    ["queues", "/queues", who === "empty" ? ".notice" : "td"],
    ["settings", "/settings", who === "admin" ? "td" : ".facts"],
    ["missing", "/nowhere", ".notice"],
    ["workers", "/workers", who === "admin" ? "td" : ".notice"],
  ];
  if (who === "empty") return own;
  own.push(
    ["running", w("running"), ".gantt"], ["waiting", w("stuck"), ".why ul"], ["failed", w("failed"), ".notice.bad"],
    ["log", `${w("failed")}?tab=logs`, ".msg"], ["data", `${w("done")}?tab=data`, ".tree"],
    ["checkpoints", `${w("running")}?tab=checkpoints`, "[role=tabpanel] td"], ["trail", `${w("running")}?tab=audit`, "[role=tabpanel] td"],
    ["details", `${w("done")}?tab=details`, ".facts"],
  );
  if (who === "admin") {
    own.push(
      ["worker", `/workers/${seen.worker}`, ".facts"], ["customers", "/customers", "td"],
      ["customer", `/customers/${full.id}`, ".facts"], ["audit", "/audit", "td"],
    );
  }
  return own;
}

for (const [who, width, scheme] of looks) {
  test(`${who}, ${width} px, ${scheme}`, async (t) => {
    const page = await open(t, { width, scheme, allow: [/status of 404/] });
    if (who === "customer") {
      await check(page, "sign-in");
      await page.screenshot({ path: `${folder}/sign-in-${width}-${scheme}.png` });
    }
    await signIn(page, { customer: full.key, empty: empty.key, admin: adminKey }[who]);
    for (const [name, path, ready] of pagesOf(who)) {
      await go(page, path, ready);
      await page.locator(".skeleton").first().waitFor({ state: "detached" });
      await check(page, name);
      await page.screenshot({ path: `${folder}/${who}-${name}-${width}-${scheme}.png` });
    }
  });
}

test("the overview draws what happened, in a window that its address holds", async (t) => {
  const page = await open(t);
  await signIn(page, full.key);
  const charts = page.locator(".charts").getByRole("img");
  await page.getByRole("img", { name: /^In the last 1h: 5 submitted, \d+ started, 1 completed, 1 failed$/ }).waitFor();
  assert.equal(await charts.count(), 3);
  await page.getByRole("button", { name: "24h", exact: true }).click();
  await page.getByRole("img", { name: /^In the last 24h: 5 submitted/ }).waitFor();
  assert.match(page.url(), /window=24h/);
  await page.reload();
  await page.getByRole("img", { name: /^Running workloads in the last 24h: now 1$/ }).waitFor();
  assert.doesNotMatch(await page.locator(".charts").innerText(), /[ap]m\b|\d+\/\d+/, "dates as on the other pages");
});

test("every page fails visibly and keeps its frame when the server does not answer", { skip: !whole && onlyWhole }, async (t) => {
  const page = await open(t, { allow: [/./] });
  await signIn(page, adminKey);
  for (const path of ["/workloads", "/workers", "/customers", "/audit"]) {
    await page.route(/\/v1\/(admin|workloads|metrics)/, (r) => r.fulfill({
      status: 500, contentType: "application/json",
      body: JSON.stringify({ error: { code: "INTERNAL_ERROR", message: "internal error", details: {}, request_id: "req_1" } }),
    }));
    await go(page, path, ".notice.bad");
    await page.getByRole("button", { name: "Try again" }).first().waitFor();
    await check(page, `${path} that fails`);
    await page.unroute(/\/v1\/(admin|workloads|metrics)/);
    await page.getByRole("button", { name: "Try again" }).first().click();
    await page.locator("td, [data-row]").first().waitFor();
  }
});
