// The icons, drawn here: strokes on a grid of 20.
const kPaths = {
  chat: "M3.5 5.5a2 2 0 0 1 2-2h9a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H9l-4 3v-3a1.5 1.5 0 0 1-1.5-1.5z",
  inside:
    "M2.5 10s2.8-5 7.5-5 7.5 5 7.5 5-2.8 5-7.5 5-7.5-5-7.5-5zM10 12.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z",
  training: "M3 3.5v13h14M5.5 6.5c1.5 5 4 6.5 10.5 7",
  plus: "M10 4v12M4 10h12",
  send: "M10 16V4.5M5 9l5-5 5 5",
  stop: "M6.5 6.5h7v7h-7z",
  copy: "M7 7h8.5v9.5H7zM4.5 13V3.5H12",
  check: "M4.5 10.5 8.5 14.5 15.5 6",
  edit: "M4 16l.7-3.3L13.2 4.2l2.6 2.6-8.5 8.5zM11.5 6l2.6 2.6",
  retry: "M15.5 10a5.5 5.5 0 1 1-1.7-4M14.5 3v3.3h-3.3",
  branch: "M6 4v12M6 12c0-3.5 8-2 8-6.5M6 4.1a.1.1 0 0 1 0-.1M14 5.5V4",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h13",
  close: "M5 5l10 10M15 5 5 15",
  sliders: "M4 6.5h7M15 6.5h1M4 13.5h1M9 13.5h7M13 4.5v4M7 11.5v4",
  sun: "M10 13.2a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4zM10 2.5v1.5M10 16v1.5M2.5 10H4M16 10h1.5M4.7 4.7l1 1M14.3 14.3l1 1M15.3 4.7l-1 1M5.7 14.3l-1 1",
  moon: "M15.8 11.8A6.3 6.3 0 0 1 8.2 4.2a6.3 6.3 0 1 0 7.6 7.6z",
  system: "M3.5 4.5h13v8.5h-13zM7.5 16h5M10 13v3",
  left: "M12 5l-5 5 5 5",
  right: "M8 5l5 5-5 5",
  trash: "M4.5 6h11M8 6V4h4v2M6 6l.7 10.5h6.6L14 6",
  down: "M10 3.5v9M6 9l4 4 4-4M4 16.5h12",
  up: "M10 13V4M6 7.5l4-4 4 4M4 16.5h12",
  help: "M7.5 7.5c0-3.3 5-3.3 5 0 0 2-2.5 2-2.5 4.3M10 14.7v.3",
  more: "M5 10h.01M10 10h.01M15 10h.01",
  key: "M12.5 11.5a4 4 0 1 0-3.7-2.5L3.5 14.3V16.5h2.2v-1.5h1.5v-1.5h1.6l1.3-1.3a4 4 0 0 0 2.4-.7zM13.5 6.5h.01",
  state:
    "M10 3.5c3.6 0 6 1 6 2.5S13.6 8.5 10 8.5 4 7.5 4 6s2.4-2.5 6-2.5zM4 6v4c0 1.5 2.4 2.5 6 2.5s6-1 6-2.5V6M4 10v4c0 1.5 2.4 2.5 6 2.5s6-1 6-2.5v-4",
  on: "M5 10h10M11 6l4 4-4 4",
} as const;

export type IconName = keyof typeof kPaths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={kPaths[name]} />
    </svg>
  );
}

/// The bird: the mark of the page, and of every answer.
export function Bird() {
  return (
    <svg class="bird" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <path
        class="bird-back"
        d="M29 9.2 25.4 7.6C24.6 4.9 22.2 3.2 19.4 3.2c-3.2 0-5.6 2-6.5 5L2.6 24.6c3 .6 5.6 0 7.8-1.5 1.7 2.3 4.3 3.7 7.3 3.7 5.5 0 9.3-4.4 9.3-10.3 0-1.5-.2-2.9-.7-4.2z"
      />
      <path
        class="bird-breast"
        d="M26.3 12.3c.5 1.3.7 2.7.7 4.2 0 5.9-3.8 10.3-9.3 10.3-1.7 0-3.3-.4-4.6-1.2 6.4-.6 11.4-5.3 13.2-13.3z"
      />
      <path class="bird-wing" d="M8.8 20.5c4.2.6 8.2-1.6 9.7-6.6-3.4-1.3-6.7-.2-9.7 6.6z" />
      <circle class="bird-eye" cx="20.8" cy="8.2" r="1.3" />
    </svg>
  );
}

/// A button that shows only an icon: `label` is its name for those who cannot see it, and its tooltip.
export function IconButton(props: {
  icon: IconName;
  label: string;
  onClick: (event: MouseEvent) => void;
  pressed?: boolean;
  disabled?: boolean;
  class?: string;
  expanded?: boolean;
}) {
  return (
    <button
      type="button"
      class={`icon-button ${props.class ?? ""}`}
      aria-label={props.label}
      title={props.label}
      aria-pressed={props.pressed}
      aria-expanded={props.expanded}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </button>
  );
}
