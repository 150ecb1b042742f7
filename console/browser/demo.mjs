// The demo in the console: the kill and the resumption, while its page is open. The screenshots of the
// README and the documentation are made here.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import test from "node:test";
import { check, folder, link, open, url, watched } from "./setup.mjs";

test("the demo's page shows the wait, the kill and the resumption", async (t) => {
  assert.ok(link.startsWith(`${url}/workloads/wl_`), link);
  const page = await open(t, { path: link.slice(url.length) });
  await page.getByText("It waits for a worker").waitFor();
  assert.doesNotMatch(page.url(), /code=/);
  writeFileSync(watched, "");
  const rows = page.locator(".gantt li");
  await rows.nth(1).locator(".seg.running").waitFor({ timeout: 120_000 });
  assert.match(await rows.nth(0).textContent(), /g1 worker-[ab].*lost/);
  await page.locator(".sentence", { hasText: "It runs on" }).waitFor();
  await page.getByRole("img", { name: /on 2 runs/ }).waitFor();
  await shoot(page, "demo-resumed");
  await page.locator(".sentence", { hasText: "Completed" }).waitFor({ timeout: 120_000 });
  await page.getByRole("img", { name: /^Progress over time: 100% on 2 runs/ }).waitFor();
  await check(page, "the demo");
  await shoot(page, "demo");
});

/** shoot makes a screenshot in each size and colour scheme. */
async function shoot(page, name) {
  for (const [width, height] of [[1440, 900], [390, 844]]) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      // The chart is drawn anew for the size and the scheme.
      await page.evaluate(() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r))));
      await page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png` });
    }
  }
}
