import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { local } from "../lib/format";

interface Series {
  name: string;
  /** values has null where nothing is drawn. */
  values: (number | null)[];
  /** color is the custom property that holds it. */
  color: string;
}

/** Chart draws series over time, as bars or as lines, in the colours of the page. */
export default function Chart({ at, from, to, series, label, kind = "bars" }: {
  at: number[]; from: number; to: number; series: Series[]; label: string; kind?: "bars" | "steps" | "lines";
}) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const box = ref.current;
    if (!box) return;
    let plot: uPlot | undefined;
    const draw = () => {
      plot?.destroy();
      // Only a real property resolves light-dark().
      const color = (name: string) => {
        box.style.color = `var(${name})`;
        return getComputedStyle(box).color;
      };
      const paths = {
        bars: uPlot.paths.bars?.({ size: [0.8, 40], align: 1 }), steps: uPlot.paths.stepped?.({ align: 1 }), lines: undefined,
      }[kind];
      const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      plot = new uPlot({
        width: box.clientWidth, height: 180, legend: { show: true }, cursor: { y: false },
        scales: { x: { range: () => [from, kind === "bars" ? Math.max(to, (at.at(-1) ?? to) + 3600) : to] }, y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
        axes: [{ ...axis, values: (_, splits) => splits.map((s) => local(s * 1000).replace(/:\d\d$/, "")) }, { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 1e4, 1e5, 1e6] }],
        series: [
          { label: "at", value: (_, s) => (s === null ? "–" : local(s * 1000)) },
          ...series.map((s) => ({
            label: s.name, stroke: color(s.color), width: kind === "bars" ? 1 : 1.5, paths, points: { show: false },
            ...(kind === "bars" && { fill: color(s.color) }),
          })),
        ],
      }, [at, ...series.map((s) => s.values)], box);
    };
    draw();
    const size = new ResizeObserver(() => plot?.setSize({ width: box.clientWidth, height: 180 }));
    size.observe(box);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => {
      size.disconnect();
      scheme.removeEventListener("change", draw);
      plot?.destroy();
    };
    // What is drawn is the same as long as the numbers are.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [JSON.stringify([at, series])]);
  return <div className="chart" ref={ref} role="img" aria-label={label} />;
}
