import { useState } from "react";
import { escaped } from "../lib/ansi";
import { ExactNumber, printExact, type Json } from "../lib/json";
import { download } from "./download";
import { Copy } from "./parts";

/** first is how many items of a collection are shown at first. */
const first = 100;

/** Tree shows JSON, each number with every digit. */
export function Tree({ value, name }: { value: Json; name: string }) {
  const text = printExact(value, 2);
  return (
    <div className="tree">
      <div className="tools">
        <Copy text={text} />
        <button type="button" className="quiet small" onClick={() => download(text, `${name}.json`, "application/json")}>Download</button>
      </div>
      <Node value={value} depth={0} />
    </div>
  );
}

function Node({ value, depth, label }: { value: Json; depth: number; label?: string }) {
  const [shown, setShown] = useState(first);
  const head = label !== undefined && <span className="key">{escaped(label)}: </span>;
  if (value === null || typeof value !== "object" || value instanceof ExactNumber) {
    const kind = value === null ? "null" : value instanceof ExactNumber ? "number" : typeof value;
    return <div className="leaf">{head}<span className={`v-${kind}`}>{escaped(printExact(value))}</span></div>;
  }
  const items = Array.isArray(value) ? value.map((v, i) => [String(i), v] as const) : Object.entries(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  if (!items.length) return <div className="leaf">{head}{open}{close}</div>;
  return (
    <details open={depth < 3 && items.length <= first}>
      <summary>{head}{open}<span className="muted"> {items.length} </span>{close}</summary>
      <div className="inner">
        {items.slice(0, shown).map(([k, v]) => <Node key={k} label={k} value={v} depth={depth + 1} />)}
        {items.length > shown && (
          <button className="quiet small" onClick={() => setShown(shown + 1000)}>{items.length - shown} more</button>
        )}
      </div>
    </details>
  );
}
