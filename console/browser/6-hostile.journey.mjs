// A tenant attacks whoever looks at its workloads: with names, labels, results, errors and logs.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { before } from "node:test";
import { adminKey, call, check, folder, go, onboard, open, signIn, submit, until, url, workload } from "./setup.mjs";

const html = `<img src=x onerror=alert(1)><script>alert(2)</script>`;
const link = "javascript:alert(3)";
const reordered = "invoice\u202egpj.exe\u2066";
const big = "9223372036854775807";
const formula = `=HYPERLINK("http://127.0.0.1/?"&A1,"click")`;

let evil, all;
before(async () => {
  evil = await onboard(`${html} ${reordered}`);
  const labels = { note: html, link, order: reordered, sum: formula };
  let deep = {};
  for (let i = 0; i < 58; i++) deep = { [html]: deep };
  // JSON.stringify would round the integer.
  const body = JSON.stringify({ workload_type: "train", input_params: { deep, link, text: `${html}${reordered}`, n: "BIG" }, labels }).replace('"BIG"', big);
  const r = await fetch(`${url}/v1/workloads`, {
    method: "POST", headers: { Authorization: `Bearer ${evil.key}`, "Content-Type": "application/json" }, body,
  });
  assert.equal(r.status, 202, await r.clone().text());
  const waits = (await r.json()).workload_id;
  await call(evil.key, "POST", `/v1/workloads/${waits}/cancel`, { reason: `${html} ${reordered}` });
  const noisy = `for i in $(seq 1 9000); do printf '\\033[31m${html.replaceAll("'", "")}\\033]0;title\\007 %04d %s\\n' $i ${"x".repeat(900)}; [ $((i % 200)) -ne 0 ] || sleep 0.2; done; echo '${html} ${reordered} \u001b[2J' >&2; exit 65`;
  const failed = (await submit(evil, "exec", { command: ["sh", "-c", noisy] }, { labels })).workload_id;
  await until(async () => (await workload(evil, failed)).status === "FAILED", "the program fails", 120);
  all = { waits, failed };
});

/** harmless fails if a page runs what it shows, links to what is no page, or shows a control character. */
async function harmless(page, name) {
  const found = await page.evaluate(() => ({
    images: document.querySelectorAll("main img, main script, main iframe").length,
    links: [...document.querySelectorAll("a")].map((a) => a.protocol).filter((p) => !/^(https?|blob):$/.test(p)),
    // eslint-disable-next-line no-control-regex
    controls: /[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]/.test(document.querySelector("main").innerText),
    title: document.title,
  }));
  assert.deepEqual({ ...found, title: "" }, { images: 0, links: [], controls: false, title: "" }, name);
  assert.doesNotMatch(found.title, /title|</);
  await check(page, name);
}

test("what a tenant writes stays text on every page, for it and for administrators", async (t) => {
  for (const key of [evil.key, adminKey]) {
    const page = await open(t, { allow: [/status of 404/] });
    page.on("dialog", (d) => assert.fail(`a dialog: ${d.message()}`));
    await signIn(page, key);
    const pages = [
      ["/", ".tiles"], [`/workloads?customer=${evil.id}`, "[data-row]"], ["/queues", "main"],
      ...["logs", "data", "audit", "details", "checkpoints"].flatMap((tab) => [all.waits, all.failed].map((id) => [`/workloads/${id}?tab=${tab}`, "[role=tabpanel] > *"])),
      [`/workloads?q=${encodeURIComponent(html)}`, "main"], [`/workloads?type=${encodeURIComponent(html)}`, "main"],
      [`/workloads/${encodeURIComponent(html)}`, ".notice"],
      ...(key === adminKey ? [["/customers", "td"], [`/customers/${evil.id}`, ".facts"], [`/audit?customer_id=${evil.id}`, "td"]] : []),
    ];
    for (const [path, ready] of pages) {
      await go(page, path, ready);
      await page.locator(".skeleton").first().waitFor({ state: "detached" });
      await harmless(page, path);
    }
  }
});

test("integers keep every digit and deep values open", async (t) => {
  const page = await open(t, { path: `/workloads/${all.waits}?tab=data` });
  await signIn(page, evil.key);
  await page.getByText(big, { exact: true }).waitFor();
  for (let i = 0; i < 8; i++) await page.locator(".tree details:not([open]) > summary").first().click();
  await page.screenshot({ path: `${folder}/hostile-data.png` });
});

test("a long log is read to its beginning, stands still while it is read, and is searched in the address", async (t) => {
  // A worker drops lines that come faster than it can report them, and says so in the log.
  const stored = [];
  for (let more = true; more;) {
    const path = `/v1/workloads/${all.failed}/logs?limit=1000&after=${stored.at(-1)?.seq ?? 0}`;
    const { logs } = await call(evil.key, "GET", path);
    stored.push(...logs);
    more = logs.length > 0;
  }
  assert.ok(stored.length > 2_000, `${stored.length} lines`);
  const known = stored.at(-10).message.match(/ (\d{4}) x/)[1];
  const page = await open(t, { path: `/workloads/${all.failed}?tab=logs`, width: 390 });
  await signIn(page, evil.key);
  const status = page.locator(".log [role=status]");
  await status.getByText(/1,000 lines, older ones are not loaded/).waitFor();
  const top = () => page.locator(".lines").evaluate((b) => b.scrollTop);
  await until(async () => (await top()) > 1000, "it begins at the end");
  await page.getByRole("button", { name: "Older lines" }).click();
  await status.getByText(/2,000 lines/).waitFor();
  assert.ok(!(await page.getByLabel("Follow").isChecked()), "who reads what is older does not follow");
  await page.getByLabel("Search", { exact: true }).fill(`${known} x`);
  await page.waitForURL(new RegExp(`find=${known}`));
  await status.getByText(/^1 line/).waitFor();
  await page.reload();
  await status.getByText(/^1 line/).waitFor();
  await page.getByLabel("Search", { exact: true }).fill("");
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
  const text = await readFile(await file.path(), "utf8");
  assert.equal(text.trimEnd().split("\n").length, stored.length);
  assert.ok(text.length > stored.length * 900, `${text.length} characters`);
  assert.doesNotMatch(text, /\u001b|\u202e/);
});

test("an export is no formula, and keeps every field", async (t) => {
  const page = await open(t, { path: "/workloads" });
  await signIn(page, evil.key);
  await page.getByRole("button", { name: "Export" }).click();
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("dialog").getByRole("button", { name: "Export" }).click()]);
  const csv = await readFile(await file.path(), "utf8");
  assert.doesNotMatch(csv, /(^|,)"?[=+@\t-]/m);
  await page.getByLabel("Format").selectOption("ndjson");
  const [json] = await Promise.all([page.waitForEvent("download"), page.getByRole("dialog").getByRole("button", { name: "Export" }).click()]);
  const lines = await readFile(await json.path(), "utf8");
  assert.match(lines, new RegExp(`"n":${big}`));
  assert.equal(JSON.parse(lines.split("\n")[0]).labels.sum, formula);
});
