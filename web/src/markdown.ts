// Markdown of a model to HTML that is safe to show. A model may write anything: raw HTML in it is shown as
// text, pictures become links (nothing is loaded from elsewhere), and what comes out is sanitised once more.
import DOMPurify from "dompurify";
import { Marked, type Token, type Tokens } from "marked";

const kEscapes: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
export const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (c) => kEscapes[c]!);

type Highlighter = (code: string, language: string) => string | null;
let highlighter: Highlighter | null = null;
let loading: Promise<void> | null = null;

/// Calls `ready` once code can be highlighted; what that takes is loaded with the first code there is.
export function whenHighlighted(ready: () => void) {
  if (highlighter) return;
  loading ??= import("./highlight").then((module) => void (highlighter = module.highlight));
  loading.then(ready, () => {});
}

const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    image: ({ href, text }) => `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    code({ text, lang }) {
      const language = (lang ?? "").split(/\s/)[0]!;
      const html = highlighter?.(text, language) ?? escapeHtml(text);
      return (
        `<div class="code"><div class="code-head"><span>${escapeHtml(language || "text")}</span>` +
        `<button type="button" data-copy>Copy</button></div>` +
        `<pre tabindex="0"><code>${html}</code></pre></div>`
      );
    },
    table(token: Tokens.Table) {
      const row = (cells: Tokens.TableCell[], tag: string) =>
        `<tr>${cells.map((cell) => `<${tag}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join("")}</tr>`;
      const body = token.rows.map((cells) => row(cells, "td")).join("");
      return `<div class="table" tabindex="0"><table><thead>${row(token.header, "th")}</thead><tbody>${body}</tbody></table></div>`;
    },
  },
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});
const kClean = {
  ALLOWED_TAGS: [
    "a",
    "b",
    "blockquote",
    "br",
    "button",
    "code",
    "del",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "span",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
  ],
  ALLOWED_ATTR: ["href", "class", "type", "data-copy", "start", "tabindex", "target", "rel"],
};

/// The blocks of a text, each as HTML. While a text grows only its last block changes, so the others need no
/// new look.
export function blocksOf(text: string): { raw: string; html: () => string; code: boolean }[] {
  const tokens = marked.lexer(text);
  const links = tokens.links;
  return tokens
    .filter((token) => token.type !== "space")
    .map((token: Token) => ({
      raw: token.raw,
      code: token.type === "code" || token.raw.includes("```"),
      html: () => DOMPurify.sanitize(marked.parser(Object.assign([token], { links })), kClean),
    }));
}
