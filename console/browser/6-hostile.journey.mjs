// A tenant attacks whoever looks at its workloads: with names, labels, results, errors and logs.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { before } from "node:test";
import { call, folder, onboard, open, signIn, submit, until, url, workload } from "./setup.mjs";

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
  const noisy = `for i in $(seq 1 9000); do printf '\\033[31m${html.replaceAll("'", "")}\\033]0;title\\007 %04d %s\\n' $i ${"x".repeat(900)}; done; echo '${html} ${reordered} \u001b[2J' >&2; exit 65`;
  const failed = (await submit(evil, "exec", { command: ["sh", "-c", noisy] }, { labels })).workload_id;
  await until(async () => (await workload(evil, failed)).status === "FAILED", "the program fails", 120);
  all = { waits, failed };
});

test("integers keep every digit and deep values open", async (t) => {
  const page = await open(t, { path: `/workloads/${all.waits}?tab=data` });
  await signIn(page, evil.key);
  await page.getByText(big, { exact: true }).waitFor();
  for (let i = 0; i < 8; i++) await page.locator(".tree details:not([open]) > summary").first().click();
  await page.screenshot({ path: `${folder}/hostile-data.png` });
});

test("a log of 9 MB is read to its beginning, stands still while it is read, and is searched in the address", async (t) => {
  const page = await open(t, { path: `/workloads/${all.failed}?tab=logs`, width: 390 });
  await signIn(page, evil.key);
  const status = page.locator(".log [role=status]");
  await status.getByText(/1,000 lines, older ones are not loaded/).waitFor();
  const top = () => page.locator(".lines").evaluate((b) => b.scrollTop);
  await until(async () => (await top()) > 1000, "it begins at the end");
  await page.getByRole("button", { name: "Older lines" }).click();
  await status.getByText(/2,000 lines/).waitFor();
  assert.ok(!(await page.getByLabel("Follow").isChecked()), "who reads what is older does not follow");
  await page.getByLabel("Search", { exact: true }).fill("8500 x");
  await page.waitForURL(/find=8500/);
  await status.getByText(/^1 line/).waitFor();
  await page.reload();
  await status.getByText(/^1 line/).waitFor();
  await page.getByLabel("Search", { exact: true }).fill("");
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download" }).click()]);
  const text = await readFile(await file.path(), "utf8");
  assert.ok(text.split("\n").length > 8_990, `${text.split("\n").length} lines`);
  assert.ok(text.length > 8_000_000, `${text.length} characters`);
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
