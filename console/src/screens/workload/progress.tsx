import { lazy, Suspense, useMemo } from "react";
import type { AuditEvent } from "../../api/types";
import { progressOf } from "../../lib/progress";
import { useNow } from "../../ui/parts";

const Chart = lazy(() => import("../../ui/chart"));

/** ProgressChart draws the progress over time, with the checkpoints and where it went to another worker. */
export function ProgressChart({ events, over }: { events: AuditEvent[]; over: boolean }) {
  const now = useNow();
  const line = useMemo(() => progressOf(events), [events]);
  const first = events[0];
  const said = line.percent.some((p) => p !== null && p > 0) || line.checkpoints.some((c) => c !== null);
  if (!first || line.at.length < 2 || !said) return null;
  const from = Date.parse(first.timestamp) / 1000;
  const known = (line.at.at(-1) ?? 0) / 1000;
  // The axis moves in steps, so that the chart is not drawn anew each second, and never beyond now.
  const to = over ? known : Math.max(known, Math.floor(now / 5_000) * 5);
  const saved = line.checkpoints.filter((c) => c !== null).length;
  const last = line.percent.findLast((p) => p !== null) ?? 0;
  const label = `Progress over time: ${Math.floor(last)}% on ${line.hops.length} ${line.hops.length === 1 ? "run" : "runs"}, ${saved} checkpoints`;
  return (
    <section aria-labelledby="progress">
      <h2 id="progress">Progress</h2>
      <Suspense fallback={<div className="chart" />}>
        <Chart
          kind="lines" unit="%" label={label} at={line.at.map((a) => a / 1000)} from={from} to={Math.max(to, from + 1)} top={100}
          series={[
            { name: "progress", values: line.percent, color: "--s-running" },
            { name: "checkpoint", values: line.checkpoints, color: "--text", points: true },
          ]}
          lines={line.hops.map((h) => ({ at: h.at / 1000, name: `g${h.generation} ${h.worker}` }))}
        />
      </Suspense>
    </section>
  );
}
