// A slider that can be left alone: until it is moved nothing is set, and the server's own value holds.
import { sampling, type SliderSpec } from "../settings";
import { useStore } from "../store";
import { IconButton } from "./icon";

export function Slider({ spec }: { spec: SliderSpec }) {
  const set = useStore(sampling)[spec.name] as number | undefined;
  const put = (value: number | undefined) => sampling.patch({ [spec.name]: value });
  const id = `slider-${spec.name}`;
  const shown = set ?? spec.rest;
  const share = ((shown - spec.min) / (spec.max - spec.min)) * 100;
  return (
    <div class={`slider ${set === undefined ? "is-auto" : ""}`}>
      <label for={id} title={spec.hint}>
        {spec.label}
      </label>
      <output for={id}>{set === undefined ? "auto" : set}</output>
      <IconButton
        icon="retry"
        label={`${spec.label}: back to the server's value`}
        disabled={set === undefined}
        onClick={() => put(undefined)}
      />
      <input
        id={id}
        type="range"
        min={spec.min}
        max={spec.max}
        step={spec.step}
        value={shown}
        style={{ "--share": `${share}%` }}
        aria-valuetext={set === undefined ? "the server's value" : String(set)}
        aria-describedby={`${id}-hint`}
        onInput={(event) => put(Number(event.currentTarget.value))}
      />
      <small id={`${id}-hint`} class="sr">
        {spec.hint}
      </small>
    </div>
  );
}
