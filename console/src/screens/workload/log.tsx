import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "react-router";
import { logs } from "../../api/queries";
import { plain } from "../../lib/ansi";
import { clockMillis } from "../../lib/format";
import { download } from "../../ui/download";
import { Empty, Failure, Loading } from "../../ui/parts";

const levels = ["DEBUG", "INFO", "WARN", "ERROR"] as const;

/** near is how many pixels from the end still count as being there. */
const near = 20;

/** Log shows the last lines of a workload, and follows while the reader is at their end. */
export function Log({ id }: { id: string }) {
  const list = useQuery(logs(id));
  const [query, setQuery] = useSearchParams();
  const least = Math.max(0, levels.indexOf((query.get("level") ?? "DEBUG") as "DEBUG"));
  const generation = Number(query.get("generation") ?? 0);
  const [text, setText] = useState("");
  const [follow, setFollow] = useState(true);
  const box = useRef<HTMLDivElement>(null);

  const lines = useMemo(() => (list.data?.logs ?? []).filter((l) =>
    levels.indexOf(l.level) >= least && (!generation || l.generation === generation) &&
    (!text || l.message.toLowerCase().includes(text.toLowerCase())),
  ), [list.data, least, generation, text]);

  const virtual = useVirtualizer({
    count: lines.length, getScrollElement: () => box.current, estimateSize: () => 20, overscan: 20,
    getItemKey: (i) => lines[i]?.seq ?? i,
  });
  useEffect(() => {
    if (follow && lines.length) virtual.scrollToIndex(lines.length - 1, { align: "end" });
  }, [follow, lines.length, virtual]);

  const set = (name: string, value: string) =>
    setQuery((q) => { if (value) q.set(name, value); else q.delete(name); return q; }, { replace: true });
  const save = () => {
    const body = lines.map((l) => `${l.timestamp} ${l.level} g${l.generation} ${plain(l.message)}`).join("\n");
    download(body + "\n", `${id}.log`, "text/plain");
  };
  if (list.isPending) return <Loading rows={8} />;
  if (list.isError) return <Failure error={list.error} retry={() => void list.refetch()} />;
  return (
    <div className="log">
      <div className="tools">
        <label>Level <select value={levels[least]} onChange={(e) => set("level", e.target.value === "DEBUG" ? "" : e.target.value)}>
          {levels.map((l) => <option key={l} value={l}>{l === "DEBUG" ? "all" : l === "ERROR" ? "ERROR" : `${l} and up`}</option>)}
        </select></label>
        {generation > 0 && <button className="chip" onClick={() => set("generation", "")}>generation {generation} ×</button>}
        <input type="search" placeholder="Search these lines" aria-label="Search these lines" value={text} onChange={(e) => setText(e.target.value)} />
        <label className="check"><input type="checkbox" checked={follow} onChange={(e) => setFollow(e.target.checked)} /> Follow</label>
        <button className="quiet small" onClick={save} disabled={!lines.length}>Download</button>
        <span className="muted num">{lines.length.toLocaleString("en")} {lines.length === 1 ? "line" : "lines"}{list.data.has_more ? ", older ones are not loaded" : ""}</span>
      </div>
      {!lines.length ? (
        <Empty title={list.data.logs.length ? "No line matches" : "It has logged nothing"} />
      ) : (
        <div
          ref={box} role="log" aria-label="Log" aria-live="off" tabIndex={0} className="lines"
          onScroll={(e) => {
            const b = e.currentTarget;
            const there = b.scrollHeight - b.scrollTop - b.clientHeight < near;
            if (there !== follow && !virtual.isScrolling) setFollow(there);
            else if (!there && follow) setFollow(false);
          }}
        >
          <div style={{ height: virtual.getTotalSize() }}>
            {virtual.getVirtualItems().map((item) => {
              const l = lines[item.index];
              const details = l && Object.keys(l.details ?? {}).length ? JSON.stringify(l.details) : "";
              return l && (
                <div key={item.key} ref={virtual.measureElement} data-index={item.index} className={`l ${l.level.toLowerCase()}`} style={{ transform: `translateY(${item.start}px)` }}>
                  <span className="muted" title={l.timestamp}>{clockMillis(Date.parse(l.timestamp))}</span>
                  <span className="lvl">{l.level}</span>
                  <span className="muted">g{l.generation}</span>
                  <span className="msg">{plain(l.message)}{details && <span className="muted"> {details}</span>}</span>
                </div>
              );
            })}
          </div>
        </div>
      )}
    </div>
  );
}
