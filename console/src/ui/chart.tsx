import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

interface Series {
  name: string;
  values: number[];
  /** color is the custom property that holds it. */
  color: string;
}

/** Chart draws series of bars over time, in the colours of the page. */
export default function Chart({ at, from, to, series, label }: {
  at: number[]; from: number; to: number; series: Series[]; label: string;
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
      const bars = uPlot.paths.bars?.({ size: [0.8, 40], align: 1 });
      const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      plot = new uPlot({
        width: box.clientWidth, height: 180, legend: { show: true }, cursor: { y: false },
        scales: { x: { range: () => [from, Math.max(to, (at.at(-1) ?? to) + 3600)] }, y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] } },
        axes: [axis, { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 1e4, 1e5, 1e6] }],
        series: [{}, ...series.map((s) => ({ label: s.name, fill: color(s.color), stroke: color(s.color), paths: bars, points: { show: false } }))],
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
