// A text of a model, block by block: while it is written only the last block is rendered anew, so a selection
// or an open scroll bar further up stays.
import { Component } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { blocksOf, whenHighlighted } from "../markdown";

class Block extends Component<{ html: string }> {
  override shouldComponentUpdate(next: { html: string }) {
    return next.html !== this.props.html;
  }
  override render({ html }: { html: string }) {
    return <div class="block" dangerouslySetInnerHTML={{ __html: html }} />;
  }
}

export function MarkdownView({ text }: { text: string }) {
  const [, highlighted] = useState(0);
  const [cache] = useState(() => new Map<string, string>());
  const blocks = useMemo(() => blocksOf(text), [text]);
  const code = blocks.some((block) => block.code);
  useEffect(() => {
    if (!code) return;
    whenHighlighted(() => {
      cache.clear();
      highlighted((n) => n + 1);
    });
  }, [code]);
  return (
    <div class="prose">
      {blocks.map((block, i) => {
        const last = i === blocks.length - 1;
        const html = (!last && cache.get(block.raw)) || block.html();
        if (!last) cache.set(block.raw, html);
        return <Block key={i} html={html} />;
      })}
    </div>
  );
}
