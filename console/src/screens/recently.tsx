import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { series } from "../api/queries";
import type { SeriesPoint, Tier } from "../api/types";
import { number } from "../lib/format";
import { put, useAddress } from "../ui/address";
import { Loaded } from "../ui/parts";

const Chart = lazy(() => import("../ui/chart"));

const windows: Record<string, number> = { "1h": 60, "6h": 360, "24h": 1440 };
const tiers: Tier[] = ["free", "standard", "premium", "enterprise"];

/** Recently draws what happened lately. Its window is part of the address. */
export function Recently() {
  const [query, change] = useAddress();
  const window = query.get("window") ?? "1h";
  const minutes = windows[window] ?? 60;
  const s = useQuery(series(minutes));
  return (
    <section>
      <div className="line">
        <h2>Lately</h2>
        <span className="toggles" role="group" aria-label="Window">
          {Object.keys(windows).map((w) => (
            <button key={w} className="small" aria-pressed={windows[w] === minutes} onClick={() => change(put("window", w === "1h" ? undefined : w))}>
              {w}
            </button>
          ))}
        </span>
      </div>
      <Loaded of={s}>{(d) => <Charts points={d.points} step={d.step_minutes} window={window} />}</Loaded>
    </section>
  );
}

function Charts({ points, step, window }: { points: SeriesPoint[]; step: number; window: string }) {
  const begins = points.map((p) => Date.parse(p.at) / 1000);
  const ends = begins.map((b) => b + step * 60);
  const axis = { from: begins[0] ?? 0, to: ends.at(-1) ?? 0 };
  // The last point is not over: its rate would look like a fall.
  const over = points.slice(0, -1);
  const rate = (of: (p: SeriesPoint) => number) => over.map((p) => of(p) / step);
  const sum = (of: (p: SeriesPoint) => number) => points.reduce((n, p) => n + of(p), 0);
  const byTier = points.some((p) => p.by_tier);
  const level = (tier: Tier, of: "waiting" | "running") => points.map((p) => p.by_tier?.find((t) => t.tier === tier)?.[of] ?? 0);
  const last = points.at(-1);
  const levels = (["waiting", "running"] as const).map((of) => ({
    title: of === "waiting" ? "Waiting" : "Running",
    label: `${of === "waiting" ? "Waiting" : "Running"} workloads in the last ${window}: now ${number(last?.[of] ?? 0)}`,
    series: byTier ? tiers.map((t) => ({ name: t, values: level(t, of), color: `--t-${t}` }))
      : [{ name: of, values: points.map((p) => p[of]), color: of === "waiting" ? "--s-pending" : "--s-running" }],
  }));
  return (
    <div className="charts">
      <figure>
        <figcaption>Per minute</figcaption>
        <Suspense fallback={<div className="chart" />}>
          <Chart
            kind="steps" {...axis} at={begins.slice(0, -1)} step={step * 60}
            label={`In the last ${window}: ${number(sum((p) => p.submitted))} submitted, ${number(sum((p) => p.started))} started, ${number(sum((p) => p.completed))} completed, ${number(sum((p) => p.failed))} failed`}
            series={[
              { name: "submitted", values: rate((p) => p.submitted), color: "--s-pending" },
              { name: "started", values: rate((p) => p.started), color: "--s-running" },
              { name: "completed", values: rate((p) => p.completed), color: "--s-completed" },
              { name: "failed", values: rate((p) => p.failed), color: "--s-failed" },
            ]}
          />
        </Suspense>
      </figure>
      {levels.map((l) => (
        <figure key={l.title}>
          <figcaption>{l.title}{byTier && " by tier"}</figcaption>
          <Suspense fallback={<div className="chart" />}>
            <Chart kind="lines" {...axis} at={ends} label={l.label} series={l.series} />
          </Suspense>
        </figure>
      ))}
    </div>
  );
}
