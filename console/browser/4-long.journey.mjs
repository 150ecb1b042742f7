// Long lists. Only the whole run has them.
import assert from "node:assert/strict";
import test from "node:test";
import { call, onboard, onlyWhole, open, signIn, whole } from "./setup.mjs";

const n = 10_000;

test(`a list of ${n} scrolls to its end, and all of it is cancelled by filter`, { skip: !whole && onlyWhole }, async (t) => {
  const big = await onboard("Big");
  for (let at = 0; at < n; at += 1000) {
    const workloads = Array.from({ length: 1000 }, (_, i) => ({
      workload_type: "train", input_params: { i: at + i }, labels: { batch: String(at / 1000) },
    }));
    await call(big.key, "POST", "/v1/workloads/batch", { workloads });
  }
  const page = await open(t, { path: "/workloads" });
  const began = Date.now();
  await signIn(page, big.key);
  await page.locator("[data-row]").first().waitFor();
  t.diagnostic(`first page after ${Date.now() - began} ms`);
  const total = page.locator(".foot");
  for (let last = 0; ; ) {
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await page.waitForTimeout(30);
    const shown = Number((await total.textContent()).replace(/\D/g, ""));
    assert.ok(await page.locator("[data-row]").count() < 100, "only the rows in view are in the page");
    if (shown === n && /workloads$/.test((await total.textContent()).trim())) break;
    last = Math.max(last, shown);
  }
  // Frames while it scrolls back up, in steps of a screen.
  const slow = await page.evaluate(async () => {
    let worst = 0;
    for (let y = document.body.scrollHeight; y > 0; y -= 2000) {
      const from = performance.now();
      scrollTo(0, y);
      await new Promise((r) => requestAnimationFrame(() => setTimeout(r)));
      worst = Math.max(worst, performance.now() - from);
    }
    return worst;
  });
  t.diagnostic(`slowest frame ${slow.toFixed(0)} ms`);
  await page.getByRole("button", { name: "Select all that match" }).click();
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(/10,000 workloads match/).waitFor();
  await dialog.getByRole("button", { name: /^Cancel 10,000/ }).click();
  await dialog.getByRole("progressbar").waitFor();
  await dialog.getByRole("button", { name: "Close" }).waitFor({ timeout: 120_000 });
  await dialog.getByText("10,000 done").waitFor();
  const left = await call(big.key, "GET", "/v1/customer");
  assert.equal(left.usage.current_queue_depth, 0);
});
