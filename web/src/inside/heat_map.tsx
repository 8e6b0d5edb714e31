// The size of the state: a column a token, a row a head, layers one below the other. Each row is coloured by
// its own largest value, as layers differ by orders of magnitude.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { colourOf, short } from "../parts/plot";
import { repaint } from "../settings";
import { useStore } from "../store";

export type Mode = "norm" | "change";

interface Row {
  layer: number;
  head: number;
  values: Float32Array;
  most: number;
}

/// Rows of heads; of `change` mode how far the norm moved with each token.
export function rowsOf(norms: number[][], heads: number[], mode: Mode): Row[] {
  const rows: Row[] = [];
  let at = 0;
  heads.forEach((count, layer) => {
    for (let head = 0; head < count; ++head, ++at) {
      const values = Float32Array.from(norms, (token, t) =>
        mode === "norm" ? token[at]! : t === 0 ? 0 : Math.abs(token[at]! - norms[t - 1]![at]!),
      );
      rows.push({ layer, head, values, most: values.reduce((a, b) => Math.max(a, b), 0) });
    }
  });
  return rows;
}

/// The colour of a share of the most, between three of the page's.
function mixer(): (share: number) => string {
  const stops = ["--heat-0", "--heat-1", "--heat-2"].map((name) => colourOf(name).match(/\d+/g)!.map(Number));
  return (share) => {
    const place = Math.min(0.9999, Math.max(0, share)) * 2;
    const from = stops[Math.floor(place)]!,
      to = stops[Math.floor(place) + 1]!;
    return `rgb(${from
      .slice(0, 3)
      .map((c, i) => Math.round(c + (to[i]! - c) * (place % 1)))
      .join(" ")})`;
  };
}

const kRow = 11,
  kGap = 6,
  kLabel = 34;

export function HeatMap(props: {
  norms: number[][];
  heads: number[];
  mode: Mode;
  selected: number;
  onSelect: (token: number) => void;
  nameOf: (token: number) => string;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const place = useRef<HTMLDivElement>(null);
  const painted = useStore(repaint);
  const [width, setWidth] = useState(0);
  const [row, setRow] = useState(0);
  const rows = useMemo(
    () => rowsOf(props.norms, props.heads, props.mode),
    [props.norms, props.heads, props.mode],
  );
  const count = props.norms.length;
  const tall = rows.length > 200 ? 3 : rows.length > 80 ? 6 : kRow;
  const cell = Math.max(3, Math.min(18, Math.floor((width - kLabel) / Math.max(1, count))));
  const topOf = (index: number) => index * tall + rows[index]!.layer * kGap;
  const height = rows.length ? topOf(rows.length - 1) + tall : 0;

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    observer.observe(place.current!);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const box = canvas.current!;
    const scale = devicePixelRatio || 1;
    box.width = (kLabel + count * cell) * scale;
    box.height = height * scale;
    const pen = box.getContext("2d")!;
    pen.scale(scale, scale);
    const colour = mixer();
    pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    rows.forEach((row, i) => {
      const y = topOf(i);
      if (row.head === 0) {
        pen.fillStyle = colourOf("--ink-2");
        pen.fillText(`L${row.layer}`, 2, y + Math.max(9, tall - 1));
      }
      row.values.forEach((value, t) => {
        pen.fillStyle = colour(row.most > 0 ? value / row.most : 0);
        pen.fillRect(kLabel + t * cell, y, cell > 5 ? cell - 1 : cell, tall > 5 ? tall - 1 : tall);
      });
    });
  }, [rows, cell, height, painted]);

  const find = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    const token = Math.floor((event.clientX - box.left - kLabel) / cell);
    if (token >= 0 && token < count) props.onSelect(token);
    const y = event.clientY - box.top;
    const found = rows.findIndex((_, i) => y < topOf(i) + tall);
    if (found >= 0) setRow(found);
  };
  const shown = rows[Math.min(row, rows.length - 1)];
  const value = shown && props.selected >= 0 ? shown.values[props.selected] : undefined;
  return (
    <div class="heat" ref={place}>
      <div class="heat-scroll" tabIndex={0} role="group" aria-label="Heat map, scrolls sideways">
        <div class="heat-canvas">
          <canvas
            ref={canvas}
            role="img"
            aria-label={`Size of the state of ${rows.length} heads in ${props.heads.length} layers over ${count} tokens`}
            style={{ width: `${kLabel + count * cell}px`, height: `${height}px` }}
            onPointerMove={find}
            onPointerDown={find}
          />
          {props.selected >= 0 && (
            <span
              class="heat-cursor"
              style={{ left: `${kLabel + props.selected * cell}px`, width: `${Math.max(2, cell - 1)}px` }}
            />
          )}
        </div>
      </div>
      <p class="heat-value">
        {shown && value !== undefined ? (
          <>
            after <code>{props.nameOf(props.selected)}</code>, layer {shown.layer}, head {shown.head}:{" "}
            <strong>{short(value)}</strong> of at most {short(shown.most)}
          </>
        ) : (
          "Point at the map."
        )}
      </p>
    </div>
  );
}
