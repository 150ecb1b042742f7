import { useEffect, useRef, useState } from "react";
import { exportLimit, lines, readAll, type Exported, type Format, type Pages } from "../lib/export";
import { number } from "../lib/format";
import { download } from "./download";
import { Dialog, Failure } from "./parts";

/** Export saves what the filters of a list match as a file, read page by page. */
export function Export({ name, columns, page }: {
  name: string; columns: readonly string[]; page: (cursor: string | undefined, signal: AbortSignal) => Promise<Pages>;
}) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button className="quiet" onClick={() => setOpen(true)}>Export</button>
      {open && <ExportDialog name={name} columns={columns} page={page} onClose={() => setOpen(false)} />}
    </>
  );
}

function ExportDialog({ name, columns, page, onClose }: {
  name: string; columns: readonly string[]; page: (cursor: string | undefined, signal: AbortSignal) => Promise<Pages>;
  onClose: () => void;
}) {
  const [format, setFormat] = useState<Format>("csv");
  const [read, setRead] = useState<number>();
  const [done, setDone] = useState<Exported>();
  const [error, setError] = useState<unknown>();
  const control = useRef(new AbortController());
  useEffect(() => {
    control.current = new AbortController();
    return () => control.current.abort();
  }, []);
  const run = async () => {
    setError(undefined);
    setRead(0);
    const { signal } = control.current;
    try {
      const all = await readAll((cursor) => page(cursor, signal), (n) => !signal.aborted && setRead(n));
      download(lines(all.rows, format, columns), `${name}.${format}`, format === "csv" ? "text/csv" : "application/x-ndjson");
      setDone(all);
    } catch (e) {
      if (!signal.aborted) setError(e);
    }
    setRead(undefined);
  };
  return (
    <Dialog title={`Export ${name}`} onClose={onClose}>
      <p>Everything that the filters match, at most {number(exportLimit)} rows, in the order of the list.</p>
      <label className="wide"><span>Format</span>
        <select value={format} disabled={read !== undefined} onChange={(e) => setFormat(e.target.value as Format)}>
          <option value="csv">CSV, for spreadsheets</option>
          <option value="ndjson">JSON lines, with every field and digit</option>
        </select>
      </label>
      <p role="status" className="num">
        {read !== undefined ? `${number(read)} rows read`
          : done ? `${number(done.rows.length)} rows saved.${done.more ? " More match: narrow the filters to get the others." : ""}` : ""}
      </p>
      {error !== undefined && <Failure error={error} />}
      <div className="buttons">
        <button onClick={onClose}>{done ? "Close" : "Leave it"}</button>
        <button className="primary" disabled={read !== undefined} onClick={() => void run()}>Export</button>
      </div>
    </Dialog>
  );
}
