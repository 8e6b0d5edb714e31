// A chart of curves over one axis, drawn by uPlot in the page's colours: drag to zoom, double-click to see
// all.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { repaint } from "../settings";
import { useStore } from "../store";

export interface Curve {
  name: string;
  x: ArrayLike<number>;
  y: ArrayLike<number | null>;
  colour: string; // a CSS colour, or the name of a variable
  pale?: boolean;
  dots?: boolean;
}

export interface PlotProps {
  curves: Curve[];
  label: string; // of the whole, for those who cannot see it
  xLabel: string;
  yLabel: string;
  height?: number;
  log?: boolean;
  logX?: boolean;
  /// Charts of one key show the same place under the pointer.
  together?: string;
  value?: (y: number) => string;
  xValue?: (x: number) => string;
}

/// A colour as rgb(r, g, b), of what CSS calls it: variables and light-dark() mean what they mean on the
/// page.
export function colourOf(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = name.startsWith("--") ? `var(${name})` : name;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/// Four digits, and no more zeros than needed.
export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/// Of the marks of a logarithmic axis those that people count by: 1 2 5 10, or powers of ten where there are
/// many.
function roundMarks(plot: uPlot, marks: number[]): (number | null)[] {
  const { min, max } = plot.scales.y!;
  const many = max! / min! > 300;
  return marks.map((mark) => {
    const first = Math.round(mark / 10 ** Math.floor(Math.log10(mark) + 1e-9));
    return first === 1 || (!many && (first === 2 || first === 5)) ? mark : null;
  });
}

function options(props: PlotProps, width: number, height: number): uPlot.Options {
  const ink = colourOf("--ink-2");
  const grid = { stroke: colourOf("--line"), width: 1 };
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: ink, grid, ticks: { ...grid, size: 4 }, font, labelFont: font, labelSize: 22 };
  const value = props.value ?? short;
  const xValue = props.xValue ?? short;
  return {
    width,
    height,
    padding: [10, 12, 0, 0],
    legend: { show: true, live: true },
    cursor: { points: { size: 6 }, ...(props.together ? { sync: { key: props.together } } : {}) },
    scales: {
      x: { time: false, ...(props.logX ? { distr: 3 as const } : {}) },
      y: props.log
        ? { distr: 3, range: (_: uPlot, min: number, max: number) => uPlot.rangeLog(min, max, 10, false) }
        : {},
    },
    axes: [
      {
        ...axis,
        label: props.xLabel,
        size: 32,
        values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : xValue(tick))),
      },
      {
        ...axis,
        ...(props.log
          ? {
              filter: roundMarks,
              grid: { ...grid, filter: roundMarks },
              ticks: { ...axis.ticks, filter: roundMarks },
            }
          : {}),
        label: props.yLabel,
        size: 56,
        values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : value(tick))),
      },
    ],
    series: [
      { label: props.xLabel, value: (_, x) => (x === null ? "–" : xValue(x)) },
      ...props.curves.map((curve): uPlot.Series => ({
        label: curve.name,
        ...(curve.pale ? { class: "is-pale" } : {}),
        stroke: colourOf(curve.colour),
        width: curve.pale ? 1 : 1.75,
        alpha: curve.pale ? 0.28 : 1,
        spanGaps: true,
        points: { show: curve.dots === true, size: 5, fill: colourOf(curve.colour) },
        value: (_, y) => (y === null || y === undefined ? "–" : value(y)),
      })),
    ],
  };
}

function dataOf(curves: Curve[]): uPlot.AlignedData {
  if (curves.length === 0) return [[]];
  const tables = curves.map((curve) => [Array.from(curve.x), Array.from(curve.y)] as uPlot.AlignedData);
  return tables.length === 1 ? tables[0]! : uPlot.join(tables);
}

export function Plot(props: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const painted = useStore(repaint);
  const height = props.height ?? 260;
  const shape = JSON.stringify([
    props.curves.map(({ name, colour, pale, dots }) => [name, colour, pale, dots]),
    props.log,
    props.logX,
    props.xLabel,
    props.yLabel,
    painted,
  ]);
  useEffect(() => {
    const made = new uPlot(
      options(props, place.current!.clientWidth, height),
      dataOf(props.curves),
      place.current!,
    );
    plot.current = made;
    const observer = new ResizeObserver(([entry]) => {
      const width = Math.round(entry!.contentRect.width);
      if (width > 0 && width !== made.width) made.setSize({ width, height });
    });
    observer.observe(place.current!);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);
  const shown = useRef(shape);
  useEffect(() => {
    // A chart that was just made has its data already; a zoomed one keeps its place.
    if (shown.current === shape && plot.current) {
      const { min, max } = plot.current.scales.x!;
      const xs = plot.current.data[0]!;
      const zoomed = xs.length > 1 && (min! > xs[0]! || max! < xs[xs.length - 1]!);
      plot.current.setData(dataOf(props.curves), !zoomed);
    }
    shown.current = shape;
  }, [props.curves, shape]);
  return <div class="plot" ref={place} role="img" aria-label={props.label} />;
}
