/** A plot over time. The library is loaded with the first one. */

import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { short } from "../format";

interface Series {
  label: string;
  values: (number | null)[];
}

interface PlotProps {
  title: string;
  times: number[];
  series: Series[];
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const HEIGHT = 132;
/** Seconds that a plot shows at least. */
const WINDOW_S = 120;

export function Plot({ title, times, series }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const data = useRef<uPlot.AlignedData>([[]]);
  // Before the first sample there is a while of nothing, so that the line grows from the right.
  const begin = (times[0] ?? 0) - WINDOW_S;
  data.current = [[begin, ...times], ...series.map(({ values }) => [null, ...values])] as uPlot.AlignedData;

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    let gone = false;
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const draw = async () => {
      const { default: Library } = await import("uplot");
      if (gone) return;
      plot.current?.destroy();
      plot.current = new Library(options(element, series), data.current, element);
    };
    void draw();
    resized.observe(element);
    dark.addEventListener("change", draw);
    return () => {
      gone = true;
      resized.disconnect();
      dark.removeEventListener("change", draw);
      plot.current?.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(data.current), [times.length, times.at(-1)]);

  const last = series.map(({ label, values }) => `${label} ${short(values.at(-1) ?? 0)}`).join(", ");
  return (
    <figure class="card plot">
      <figcaption>
        <span>{title}</span>
        <span class="faint">{last}</span>
      </figcaption>
      <div ref={place} class="plot-place" role="img" aria-label={`${title}: ${last} now`} />
    </figure>
  );
}

function options(element: HTMLElement, series: Series[]): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  const strokes = [colour("--accent"), "#d9921a"];
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 8, 0, 0],
    scales: { y: { range: (_, min, max) => [min < 0 ? min : Math.min(min, 0), Math.max(max * 1.15, 1)] } },
    axes: [
      { ...axis, size: 26, space: 70, values: (_, times) => times.map((at) => CLOCK.format(at * 1_000)) },
      { ...axis, size: 46, space: 28, values: (_, values) => values.map((value) => short(value)) },
    ],
    series: [{}, ...series.map(({ label }, at) => ({ label, stroke: strokes[at], width: 1.5, points: { show: false } }))],
  };
}
