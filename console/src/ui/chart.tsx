import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { compact, local } from "../lib/format";

interface Series {
  name: string;
  /** values has null where nothing is drawn. */
  values: (number | null)[];
  /** color is the custom property that holds it. */
  color: string;
  /** points has the values drawn as points, without a line. */
  points?: boolean;
}

/** Line is a vertical line with a name. */
interface Line {
  at: number;
  name: string;
}

/** timeSteps are the distances between the times of the axis, in seconds. */
const timeSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

/** countSteps are the distances between the counts of the axis. */
const countSteps = Array.from({ length: 10 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

/** height is that of the drawing, without its legend. */
const height = 180;

/**
 * Chart draws series over time, as bars, steps or lines, in the colours of the page. Times are in
 * seconds. A bar or a step is as wide as step. top is the end of the vertical axis; without it, the axis
 * fits the values.
 */
export default function Chart({ at, from, to, series, label, kind = "bars", step = 0, unit = "", top, lines = [] }: {
  at: number[]; from: number; to: number; series: Series[]; label: string; kind?: "bars" | "steps" | "lines"; step?: number;
  unit?: string; top?: number; lines?: Line[];
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
      // A step ends where the next one begins, so the last one needs an end of its own.
      const closed = kind === "steps" && at.length > 0;
      const times = closed ? [...at, (at.at(-1) ?? 0) + step] : at;
      const values = (s: Series) => (closed ? [...s.values, s.values.at(-1) ?? null] : s.values);
      const paths = {
        bars: uPlot.paths.bars?.({ size: [0.8, 40], align: 1 }), steps: uPlot.paths.stepped?.({ align: 1 }), lines: undefined,
      }[kind];
      const muted = color("--muted");
      const font = `${11 * devicePixelRatio}px system-ui`;
      const axis = { stroke: muted, grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      const end = kind === "bars" ? Math.max(to, (at.at(-1) ?? to) + step) : to;
      const drawLines = (u: uPlot) => {
        const { ctx, bbox } = u;
        ctx.save();
        ctx.strokeStyle = ctx.fillStyle = muted;
        ctx.font = font;
        ctx.textAlign = "left";
        ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
        let free = -Infinity;
        for (const l of lines) {
          const x = Math.round(u.valToPos(l.at, "x", true));
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          const width = ctx.measureText(l.name).width;
          const left = Math.min(x + 4 * devicePixelRatio, bbox.left + bbox.width - width);
          if (left < free) continue; // its name would lie on the one before
          ctx.fillText(l.name, left, bbox.top + 11 * devicePixelRatio);
          free = left + width + 6 * devicePixelRatio;
        }
        ctx.restore();
      };
      plot = new uPlot({
        width: box.clientWidth, height, legend: { show: true }, cursor: { y: false },
        scales: { x: { range: () => [from, end] }, y: { range: (_, __, max) => [0, top ?? Math.max(1, max * 1.1)] } },
        axes: [
          { ...axis, size: 24, space: 80, incrs: timeSteps, values: (_, splits) => splits.map((s) => local(s * 1000).replace(/:\d\d$/, end - from > 600 ? "" : "$&")) },
          {
            ...axis, size: 44, incrs: countSteps,
            values: (_, splits) => splits.map((v) => `${compact(v)}${unit}`),
          },
        ],
        hooks: { draw: [drawLines] },
        series: [
          // Without a cursor, the legend says what is the last.
          { label: "at", value: (_, s) => { const x = s ?? at.at(-1); return x === undefined ? "–" : local(x * 1000); } },
          ...series.map((s) => ({
            label: s.name, stroke: color(s.color), width: kind === "bars" ? 1 : 1.5,
            value: (_: uPlot, v: number | null, __: number, i: number | null) => {
              const x = i === null ? s.values.findLast((y) => y !== null) : v;
              return x === null || x === undefined ? "–" : `${Number(x.toFixed(1))}${unit}`;
            },
            ...(s.points
              ? { paths: () => null, points: { show: true, size: 6, fill: color("--bg"), stroke: color(s.color) } }
              : { paths, points: { show: false } }),
            ...(kind === "bars" && { fill: color(s.color) }),
          })),
        ],
      }, [times, ...series.map(values)], box);
    };
    draw();
    const size = new ResizeObserver(() => plot?.setSize({ width: box.clientWidth, height }));
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
  }, [JSON.stringify([at, from, to, series, lines])]);
  return <div className="chart" ref={ref} role="img" aria-label={label} />;
}
