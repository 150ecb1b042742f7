// What the console and the server refuse.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import test, { before } from "node:test";
import { adminKey, call, go, onboard, open, signIn, submit, until, url, watch, workload } from "./setup.mjs";

let acme, other, secret;
before(async () => {
  [acme, other] = [await onboard("Acme"), await onboard("Other")];
  secret = await submit(acme, "train", { note: "canary-9007199254740993" });
});

/** post sends a mutation from inside a page, with the headers given. */
const post = (page, path, headers) =>
  page.evaluate(async ([p, h]) => (await fetch(p, { method: "POST", headers: h })).status, [path, headers]);

test("a viewer sees no input and nothing to act with, and the server refuses too", async (t) => {
  const page = await open(t, { path: `/workloads/${secret.workload_id}?tab=data`, allow: [/status of 403/] });
  await signIn(page, acme.viewerKey);
  await page.getByText("Viewers do not see what a workload works on.").waitFor();
  assert.equal(await page.locator("main").getByRole("button", { name: /^(Cancel|Pause|Resume|Retry)$/ }).count(), 0);
  await go(page, "/workloads", "[data-row]");
  assert.equal(await page.locator(".bulk, input[type=checkbox]").count(), 0);
  const csrf = await page.evaluate(async () => (await (await fetch("/v1/session")).json()).csrf_token);
  assert.equal(await post(page, `/v1/workloads/${secret.workload_id}/cancel`, { "X-CSRF-Token": csrf }), 403);
  assert.equal((await workload(acme, secret.workload_id)).status, "PENDING");
});

test("another customer sees nothing, in lists, by id or live", async (t) => {
  const page = await open(t, { path: "/workloads", allow: [/status of 40[34]/] });
  await signIn(page, other.key);
  await page.getByText("No workloads yet").waitFor();
  await submit(acme, "train", {});
  await go(page, `/workloads/${secret.workload_id}`, ".notice");
  await page.getByText("There is no such thing").waitFor();
  assert.doesNotMatch(await page.content(), /canary/);
  for (const path of ["/workers", "/customers", "/audit"]) {
    await go(page, path, ".notice");
    assert.equal(await page.locator("main table").count(), 0, path);
  }
});

test("a revoked key ends the session that is open, and its page", async (t) => {
  const page = await open(t, { path: "/workloads" });
  await signIn(page, acme.viewerKey);
  await page.locator(".stream.live").waitFor();
  await call(adminKey, "DELETE", `/v1/admin/customers/${acme.id}/keys/${acme.viewerKeyID}`);
  await page.getByText(/The session has ended: its key was revoked/).waitFor();
  assert.equal(await page.locator("[data-row]").count(), 0, "nothing stays on the page");
});

test("a link signs in once, leaves the address, and replaces nobody's session", async (t) => {
  const { code } = await call(acme.key, "POST", "/v1/session/links");
  const page = await open(t, { path: `/workloads#code=${code}` });
  await page.locator("[data-row]").first().waitFor();
  assert.equal(page.url(), `${url}/workloads`);
  await page.getByText(acme.id, { exact: true }).waitFor();
  const again = await open(t, { path: `/workloads#code=${code}` });
  await again.getByText(/The link has been used, or is older than a minute/).waitFor();
  assert.equal(again.url(), `${url}/workloads`);
  const { code: others } = await call(other.key, "POST", "/v1/session/links");
  await page.goto("about:blank");
  await page.goto(`${url}/workloads#code=${others}`);
  await page.getByText(acme.id, { exact: true }).waitFor();
  assert.equal(page.url(), `${url}/workloads`);
  // The code was not used, so it still signs in where nobody is, in a tab that is open.
  await again.goto(`${url}/workloads#code=${others}`);
  await again.getByText(other.id, { exact: true }).waitFor();
  assert.equal(again.url(), `${url}/workloads`);
});

test("a mutation without the session's token is refused", async (t) => {
  const page = await open(t, { allow: [/status of 403/] });
  await signIn(page, acme.key);
  const path = `/v1/workloads/${secret.workload_id}/cancel`;
  assert.equal(await post(page, path, {}), 403);
  assert.equal(await post(page, path, { "X-CSRF-Token": "wrong" }), 403);
  assert.equal((await workload(acme, secret.workload_id)).status, "PENDING");
  const [cookie] = await page.context().cookies(url + "/v1");
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict");
  assert.equal(await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })), "{}");
});

test("a form on another site does not act with the session", async (t) => {
  const page = await open(t, { allow: [/a request to/, /status of 40[013]/] });
  await signIn(page, acme.key);
  const site = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end(
    `<form method="post" action="${url}/v1/workloads/${secret.workload_id}/cancel"><button>win</button></form>`));
  await new Promise((r) => site.listen(0, "127.0.0.1", r));
  t.after(() => site.close());
  // Its name makes it another site; the same address with another port is the same one for a cookie.
  for (const host of ["localhost", "127.0.0.1"]) {
    await page.goto(`http://${host}:${site.address().port}/`);
    const [answer] = await Promise.all([page.waitForResponse((r) => r.url().endsWith("/cancel")), page.click("button")]);
    assert.ok([400, 401, 403].includes(answer.status()), `${host}: ${answer.status()}`);
    assert.equal((await workload(acme, secret.workload_id)).status, "PENDING", host);
  }
});

test("the page runs no script and no style but the server's, and a violation fails a journey", async (t) => {
  const page = await open(t, { allow: [/Content Security Policy/, /status of 404/] });
  const seen = watch(page);
  await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "globalThis.injected = true";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", `<img src="x" onerror="globalThis.injected = true"><p style="color: red">`);
  });
  for (const refused of [/inline script/, /inline event handler/, /inline style/]) {
    await until(() => seen.some((p) => /Content Security Policy/.test(p) && refused.test(p)), `the journeys notice ${refused}`);
  }
  assert.equal(await page.evaluate(() => globalThis.injected), undefined);
});

test("what a workload says is text, never a page", async (t) => {
  const w = await submit(acme, "exec", { command: ["sh", "-c", "printf '\\033[31m<img src=x onerror=alert(1)>\\033[0m\\n'; echo done"] },
    { labels: { note: "a-b" } });
  const page = await open(t, { path: `/workloads/${w.workload_id}` });
  await signIn(page, acme.key);
  await page.locator(".msg", { hasText: "<img src=x onerror=alert(1)>" }).waitFor();
  assert.doesNotMatch(await page.locator(".log").innerText(), /\[31m/);
});
