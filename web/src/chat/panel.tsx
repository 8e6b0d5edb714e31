// The right side: how answers are made, the tree of branches, the states on the server.
import { useState } from "preact/hooks";
import { access } from "../api";
import { IconButton } from "../parts/icon";
import { Slider } from "../parts/slider";
import { askWhatIsOffered, change, current, offered } from "../session";
import { kSliders, sampling, view, type Sampling } from "../settings";
import { useStore } from "../store";
import { States } from "./states";
import { Tree } from "./tree";

function Choice(props: {
  name: "model" | "lora" | "state";
  label: string;
  none: string | null;
  options: string[];
}) {
  const set = useStore(sampling)[props.name] ?? "";
  if (props.options.length === 0) return null;
  return (
    <div class="field">
      <label for={`choice-${props.name}`}>{props.label}</label>
      <select
        id={`choice-${props.name}`}
        value={props.options.includes(set) ? set : props.none === null ? props.options[0] : ""}
        onChange={(event) => sampling.patch({ [props.name]: event.currentTarget.value || undefined })}
      >
        {props.none !== null && <option value="">{props.none}</option>}
        {props.options.map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    </div>
  );
}

function WholeNumber(props: {
  name: "max_tokens" | "seed";
  label: string;
  lowest: number;
  placeholder: string;
}) {
  const set = useStore(sampling)[props.name];
  return (
    <div class="field">
      <label for={`field-${props.name}`}>{props.label}</label>
      <input
        id={`field-${props.name}`}
        type="number"
        min={props.lowest}
        step={1}
        value={set ?? ""}
        placeholder={props.placeholder}
        onInput={(event) => {
          const value = event.currentTarget.valueAsNumber;
          sampling.patch({
            [props.name]: Number.isInteger(value) && value >= props.lowest ? value : undefined,
          } as Partial<Sampling>);
        }}
      />
    </div>
  );
}

function KeyField() {
  const { key } = useStore(access);
  const [shown, setShown] = useState(false);
  return (
    <div class="field">
      <label for="field-key">API key</label>
      <div class="with-button">
        <input
          id="field-key"
          type={shown ? "text" : "password"}
          value={key}
          autocomplete="off"
          placeholder="none"
          onChange={(event) => {
            access.value = { key: event.currentTarget.value.trim() };
            askWhatIsOffered();
          }}
        />
        <IconButton icon="inside" label="Show the key" pressed={shown} onClick={() => setShown(!shown)} />
      </div>
    </div>
  );
}

function Settings() {
  const conversation = useStore(current);
  const set = useStore(sampling);
  const { scores } = useStore(view);
  const offer = useStore(offered);
  const touched = Object.values(set).some((value) => value !== undefined && value !== "");
  return (
    <div class="settings">
      <Choice name="model" label="Model" none={null} options={offer.models.map((model) => model.id)} />
      <Choice name="lora" label="LoRA" none="none" options={offer.loras} />
      <Choice name="state" label="Tuned state" none="none" options={offer.states} />
      <div class="field">
        <label for="field-system">System prompt</label>
        <textarea
          id="field-system"
          rows={3}
          value={conversation.system}
          placeholder="What the model should know or be"
          onInput={(event) => change(conversation.id, { system: event.currentTarget.value })}
        />
      </div>
      <h3>Sampling</h3>
      {kSliders.map((spec) => (
        <Slider key={spec.name} spec={spec} />
      ))}
      <div class="fields">
        <WholeNumber name="max_tokens" label="Longest answer" lowest={1} placeholder="auto" />
        <WholeNumber name="seed" label="Seed" lowest={0} placeholder="random" />
      </div>
      <div class="field">
        <label for="field-stop">Stop texts, one a line</label>
        <textarea
          id="field-stop"
          rows={2}
          value={set.stop ?? ""}
          placeholder="those of the model's template"
          onInput={(event) => sampling.patch({ stop: event.currentTarget.value })}
        />
      </div>
      <div class="field">
        <label for="field-think">Thinking</label>
        <select
          id="field-think"
          value={set.reasoning_effort ?? ""}
          onChange={(event) =>
            sampling.patch({
              reasoning_effort: (event.currentTarget.value || undefined) as Sampling["reasoning_effort"],
            })
          }
        >
          <option value="">auto</option>
          {["none", "low", "medium", "high"].map((effort) => (
            <option key={effort} value={effort}>
              {effort}
            </option>
          ))}
        </select>
      </div>
      <label class="switch">
        <input
          type="checkbox"
          checked={scores}
          onChange={(event) => view.patch({ scores: event.currentTarget.checked })}
        />
        Keep the probabilities of each token
      </label>
      <button type="button" class="button" disabled={!touched} onClick={() => (sampling.value = {})}>
        All back to the server's values
      </button>
      <h3>Access</h3>
      <KeyField />
    </div>
  );
}

const kTabs = [
  { panel: "settings", label: "Settings" },
  { panel: "branches", label: "Branches" },
  { panel: "states", label: "States" },
] as const;

export function Panel() {
  const { panel } = useStore(view);
  if (panel === "") return null;
  const move = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = kTabs[(kTabs.findIndex((tab) => tab.panel === panel) + step + kTabs.length) % kTabs.length]!;
    view.patch({ panel: next.panel });
    document.getElementById(`tab-${next.panel}`)?.focus();
  };
  return (
    <aside class="panel" aria-label="Settings, branches and states">
      <div class="panel-head">
        <div class="tabs" role="tablist" aria-label="Panel" onKeyDown={move}>
          {kTabs.map((tab) => (
            <button
              key={tab.panel}
              id={`tab-${tab.panel}`}
              type="button"
              role="tab"
              aria-selected={panel === tab.panel}
              aria-controls="panel-body"
              tabIndex={panel === tab.panel ? 0 : -1}
              onClick={() => view.patch({ panel: tab.panel })}
            >
              {tab.label}
            </button>
          ))}
        </div>
        <IconButton icon="close" label="Close the panel" onClick={() => view.patch({ panel: "" })} />
      </div>
      <div class="panel-body" id="panel-body" role="tabpanel" aria-labelledby={`tab-${panel}`} tabIndex={-1}>
        {panel === "settings" && <Settings />}
        {panel === "branches" && <Tree />}
        {panel === "states" && <States />}
      </div>
    </aside>
  );
}
