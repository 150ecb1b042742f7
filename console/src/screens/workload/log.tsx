import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { logs, olderLines, type Line, type Lines } from "../../api/queries";
import { plain } from "../../lib/ansi";
import { clockMillis, number } from "../../lib/format";
import { isGap, withGaps, type Gap } from "../../lib/gaps";
import { printExact, type Json } from "../../lib/json";
import { put, useAddress } from "../../ui/address";
import { download } from "../../ui/download";
import { Empty, Failure, Field, Loaded } from "../../ui/parts";

const levels = ["DEBUG", "INFO", "WARN", "ERROR"] as const;

/** near is how many pixels from the end still count as being there. */
const near = 20;

/** Log shows the lines of a workload, and follows while the reader is at their end. */
export function Log({ id }: { id: string }) {
  return <Loaded of={useQuery(logs(id))} rows={8}>{(current) => <Reader id={id} current={current} />}</Loaded>;
}

function Reader({ id, current }: { id: string; current: Lines }) {
  const [query, change] = useAddress();
  const least = Math.max(0, levels.indexOf((query.get("level") ?? "DEBUG") as "DEBUG"));
  const generation = Number(query.get("generation") ?? 0);
  const text = query.get("find") ?? "";
  // held is what is shown to a reader who does not follow: nothing moves under their eyes.
  const [held, setHeld] = useState<Lines>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const box = useRef<HTMLDivElement>(null);
  const top = useRef(0);

  const known = held ?? current;
  const matches = useMemo(() => {
    const wanted = text.toLowerCase();
    return (l: Line) => levels.indexOf(l.level) >= least && (!generation || l.generation === generation) &&
      (!wanted || l.message.toLowerCase().includes(wanted));
  }, [least, generation, text]);
  const rows = useMemo(() => withGaps(known.logs, known.has_more, matches), [known, matches]);
  const lines = useMemo(() => rows.filter((r) => !isGap(r)), [rows]);
  const newest = known.logs.at(-1)?.seq ?? 0;
  const fresh = held ? current.logs.filter((l) => l.seq > newest).length : 0;

  const virtual = useVirtualizer({
    count: rows.length, getScrollElement: () => box.current, estimateSize: () => 20, overscan: 20,
    getItemKey: (i) => { const r = rows[i]; return !r ? i : isGap(r) ? `gap ${r.before}` : r.seq; },
  });
  useEffect(() => {
    if (!held && rows.length) virtual.scrollToIndex(rows.length - 1, { align: "end" });
  }, [held, rows.length, virtual]);

  const set = (name: string, value: string) => change(put(name, value));
  const attempt = async (work: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await work();
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  const older = () => attempt(async () => {
    const more = await olderLines(id, known);
    setHeld(more);
    const before = withGaps(more.logs, more.has_more, matches).length - rows.length;
    // The line that was the first one stays where it was.
    requestAnimationFrame(() => virtual.scrollToIndex(Math.max(0, before), { align: "start" }));
  });
  const save = () => attempt(async () => {
    let whole = known;
    while (whole.has_more) whole = await olderLines(id, whole);
    const body = withGaps(whole.logs, false, matches).map((l) => isGap(l) ? `-- ${missing(l)} --` : `${l.timestamp} ${l.level} g${l.generation} ${plain(l.message)}${detailsOf(l)}`).join("\n");
    download(body + "\n", `${id}.log`, "text/plain");
  });
  return (
    <div className="log">
      <div className="tools">
        <label>Level <select value={levels[least]} onChange={(e) => set("level", e.target.value === "DEBUG" ? "" : e.target.value)}>
          {levels.map((l) => <option key={l} value={l}>{l === "DEBUG" ? "all" : l === "ERROR" ? "ERROR" : `${l} and up`}</option>)}
        </select></label>
        {generation > 0 && <button className="chip" onClick={() => set("generation", "")}>generation {generation} ×</button>}
        <Field label="Search" value={text} live set={(v) => set("find", v ?? "")} />
        <label className="check"><input type="checkbox" checked={!held} onChange={(e) => setHeld(e.target.checked ? undefined : known)} /> Follow</label>
        {known.has_more && <button className="quiet small" disabled={busy} onClick={() => void older()}>Older lines</button>}
        <button className="quiet small" onClick={() => void save()} disabled={busy || !known.logs.length}>Download</button>
        <span className="muted num" role="status">
          {number(lines.length)} {lines.length === 1 ? "line" : "lines"}{known.has_more ? ", older ones are not loaded" : ""}
        </span>
        {fresh > 0 && <button className="small" onClick={() => setHeld(undefined)}>{number(fresh)} new · follow</button>}
      </div>
      {error !== undefined && <Failure error={error} />}
      {!lines.length ? (
        <Empty title={known.logs.length ? "No line matches" : "It has logged nothing"} />
      ) : (
        <div
          ref={box} role="log" aria-label="Log" aria-live="off" tabIndex={0} className="lines"
          onScroll={(e) => {
            const b = e.currentTarget;
            const end = b.scrollHeight - b.scrollTop - b.clientHeight < near;
            // Only a reader moves up: lines that come make the box longer, and move nothing.
            if (!held && !end && b.scrollTop < top.current) setHeld(current);
            else if (held && end && b.scrollTop > top.current && !known.has_more && fresh === 0) setHeld(undefined);
            top.current = b.scrollTop;
          }}
        >
          <div style={{ height: virtual.getTotalSize() }}>
            {virtual.getVirtualItems().map((item) => {
              const l = rows[item.index];
              if (l && isGap(l)) {
                return (
                  <div key={item.key} ref={virtual.measureElement} data-index={item.index} className="l gap" style={{ transform: `translateY(${item.start}px)` }}>
                    {missing(l)}
                  </div>
                );
              }
              return l && (
                <div key={item.key} ref={virtual.measureElement} data-index={item.index} className={`l ${l.level.toLowerCase()}`} style={{ transform: `translateY(${item.start}px)` }}>
                  <span className="muted" title={l.timestamp}>{clockMillis(Date.parse(l.timestamp))}</span>
                  <span className="lvl">{l.level}</span>
                  <span className="muted">g{l.generation}</span>
                  <span className="msg">{plain(l.message)}<span className="muted">{detailsOf(l)}</span></span>
                </div>
              );
            })}
          </div>
        </div>
      )}
    </div>
  );
}

/** missing says what a gap stands for. */
const missing = (g: Gap) =>
  `${number(g.missing)} ${g.missing === 1 ? "line is" : "lines are"} missing here: only the last 10,000 are kept`;

/** detailsOf prints what was logged beside the message, every number with all its digits. */
const detailsOf = (l: Line) => (isEmpty(l.details) ? "" : ` ${printExact(l.details)}`);

const isEmpty = (v: Json) => v === null || (typeof v === "object" && !Object.keys(v).length);
