import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { flexRender, getCoreRowModel, useReactTable, type ColumnDef, type RowSelectionState } from "@tanstack/react-table";
import { useEffect, useMemo, useRef, useState, type RefObject } from "react";
import { Link } from "react-router";
import { live } from "../api/live";
import { workloadColumns, workloadRows } from "../api/exports";
import { listOf, newerThan } from "../api/queries";
import { isFinal, statuses, type Workload } from "../api/types";
import { plain } from "../lib/ansi";
import { hasText, readFilters, writeFilters, type Filters } from "../lib/filters";
import { duration, number } from "../lib/format";
import { fieldOf, timeOf } from "../lib/times";
import { useSession } from "../session";
import { Empty, Field, Labels, Loaded, Progress, Scroll, State, Time, useNow } from "../ui/parts";
import { useAddress } from "../ui/address";
import { Export } from "../ui/export";
import { Views } from "../ui/views";
import { BulkBar } from "./bulk";
import { Submit } from "./submit";

/** rowHeight is that of the style sheet. */
const rowHeight = 33;

export function Workloads() {
  const { admin, acts } = useSession();
  const [query, change] = useAddress();
  const f = useMemo(() => filtersOf(query, admin), [query, admin]);
  const set: SetFilters = (of) => change((q) => {
    const now = filtersOf(q, admin);
    return writeFilters({ ...now, ...(typeof of === "function" ? of(now) : of) });
  });
  useBeginning(f, admin);
  const list = useInfiniteQuery(listOf(f, admin));
  const [selected, setSelected] = useState<RowSelectionState>({});
  useEffect(() => setSelected({}), [query]);

  const pages = useMemo(() => {
    const text = f.text?.toLowerCase();
    return (list.data?.pages ?? []).map((p) => (text ? p.workloads.filter((w) => hasText(w, text)) : p.workloads));
  }, [list.data, f.text]);
  const rows = useMemo(() => pages.flat(), [pages]);

  const filtered = query.size > 0;
  return (
    <>
      <div className="line">
        <h1>Workloads</h1>
        <span className="actions">
          <Export name="workloads" columns={workloadColumns} page={(cursor, signal) => workloadRows(f, admin, cursor, signal)} />
          {acts && !admin && <Submit />}
        </span>
      </div>
      <FilterBar f={f} set={set} admin={admin} />
      <Views />
      <Newer f={f} admin={admin} />
      {acts && (
        <BulkBar selected={Object.keys(selected).filter((id) => selected[id])} filters={f} clear={() => setSelected({})} />
      )}
      <Loaded of={list} rows={12}>
        {() => (rows.length || list.hasNextPage ? (
          <Table
            key={query.toString()} rows={rows} barren={pages.length - 1 - pages.findLastIndex((p) => p.length > 0)}
            admin={admin} acts={acts} selected={selected} setSelected={setSelected}
            more={list.hasNextPage} loading={list.isFetchingNextPage} load={() => void list.fetchNextPage()}
          />
        ) : filtered ? <Empty title="No workload matches">Take a filter away, or widen it.</Empty>
          : <Empty title="No workloads yet">Submit one: <code>niyanta workload submit sleep --input '{"{\"duration_ms\": 3000}"}'</code></Empty>)}
      </Loaded>
    </>
  );
}

/** filtersOf reads an address. One that an administrator shares may name a customer, which is who looks at it. */
const filtersOf = (query: URLSearchParams, admin: boolean): Filters =>
  ({ ...readFilters(query), ...(admin ? {} : { customer: undefined }) });

/** SetFilters changes filters. */
type SetFilters = (change: Partial<Filters> | ((now: Filters) => Partial<Filters>)) => void;

function FilterBar({ f, set, admin }: { f: Filters; set: SetFilters; admin: boolean }) {
  const toggle = (s: (typeof statuses)[number]) =>
    set((now) => ({ status: now.status.includes(s) ? now.status.filter((x) => x !== s) : [...now.status, s] }));
  return (
    <div className="filters">
      <div className="toggles" role="group" aria-label="Status">
        {statuses.map((s) => (
          <button key={s} aria-pressed={f.status.includes(s)} onClick={() => toggle(s)}><State of={s} /></button>
        ))}
      </div>
      <div className="fields">
        <Field label="Type" value={f.type} set={(type) => set({ type })} />
        {admin && <Field label="Customer" value={f.customer} set={(customer) => set({ customer })} />}
        <Field label="Add label" hint="key=value" value="" set={(l) => l?.includes("=") && set((now) => ({ label: now.label.includes(l) ? now.label : [...now.label, l] }))} />
        <Field label="Text in these rows" value={f.text} set={(text) => set({ text })} />
        <label>
          <span>Created after</span>
          <input type="datetime-local" value={fieldOf(f.after)} onChange={(e) => set({ after: timeOf(e.target.value) })} />
        </label>
        <label>
          <span>Created before</span>
          <input type="datetime-local" value={fieldOf(f.before)} onChange={(e) => set({ before: timeOf(e.target.value) })} />
        </label>
        <label>
          <span>Order</span>
          <select value={f.order} onChange={(e) => set({ order: e.target.value as Filters["order"] })}>
            {/* Without a customer, the server lists one customer after the other. */}
            <option value="created_at">{admin && !f.customer ? "By customer, newest" : "Newest"}</option>
            <option value="oldest">{admin && !f.customer ? "By customer, oldest" : "Oldest"}</option>
            <option value="updated_at">{admin && !f.customer ? "By customer, last changed" : "Last changed"}</option>
            <option value="priority">{admin && !f.customer ? "By customer, priority" : "Priority"}</option>
          </select>
        </label>
      </div>
      {f.label.length > 0 && (
        <div className="chips">
          {f.label.map((l) => (
            <button key={l} className="chip" onClick={() => set((now) => ({ label: now.label.filter((x) => x !== l) }))}>
              {l} <span aria-label="remove">×</span>
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

/** kept is how many pages of a list are read again when it is opened again. */
const kept = 5;

/** useBeginning forgets all but the first pages of a long list that was left, so that opening it stays cheap. */
function useBeginning(f: Filters, admin: boolean) {
  const client = useQueryClient();
  const key = listOf(f, admin).queryKey;
  const hash = JSON.stringify(key);
  const [begun, setBegun] = useState("");
  if (begun === hash) return;
  setBegun(hash);
  client.setQueryData(key, (old) => old && { pages: old.pages.slice(0, kept), pageParams: old.pageParams.slice(0, kept) });
}

/** Newer counts workloads that came since the list was read. They do not push rows away by themselves. */
function Newer({ f, admin }: { f: Filters; admin: boolean }) {
  const client = useQueryClient();
  const [created, setCreated] = useState(0);
  const key = listOf(f, admin).queryKey;
  const hash = JSON.stringify(key);
  useEffect(() => setCreated(0), [hash]);
  useEffect(() => live.listen((events) => {
    const n = events.filter((e) => e.event_type === "workload.created" && (!f.customer || e.customer_id === f.customer)).length;
    if (n) setCreated((old) => old + n);
  }), [f.customer]);
  const narrow = !!(f.status.length || f.label.length || f.type || f.text || f.after || f.before);
  const match = useQuery({ ...newerThan(f, client.getQueryData(key)?.pages[0]?.pagination.newest_cursor), enabled: narrow && !admin && created > 0 });
  const exact = narrow && !f.text ? match.data : undefined;
  const n = exact ?? created;
  return (
    <div className="newer" role="status">
      {n > 0 && f.order !== "oldest" && (
        <button onClick={() => { setCreated(0); void client.resetQueries({ queryKey: key }); }}>
          {number(n)} new{narrow && exact === undefined ? ", some may match" : ""} · show
        </button>
      )}
    </div>
  );
}

/** barrenLimit is how many pages without a row that matches are read before somebody is asked. */
const barrenLimit = 20;

/** Table shows rows. barren is how many pages without a row that matches were read last. */
function Table({ rows, barren, admin, acts, selected, setSelected, more, loading, load }: {
  rows: Workload[]; barren: number; admin: boolean; acts: boolean; selected: RowSelectionState;
  setSelected: React.Dispatch<React.SetStateAction<RowSelectionState>>;
  more: boolean; loading: boolean; load: () => void;
}) {
  const body = useRef<HTMLDivElement>(null);
  const [first, end] = useRowsInView(rows.length, body);
  // The table has only the rows in view: it costs the same however many are loaded.
  const data = useMemo(() => rows.slice(first, end), [rows, first, end]);
  const whole = rows.length > 0 && Object.keys(selected).length >= rows.length;
  const selectAll = () => setSelected(whole ? {} : Object.fromEntries(rows.map((w) => [w.workload_id, true])));
  const columns = useMemo(() => columnsOf(admin, acts), [admin, acts]);
  const table = useReactTable({
    data, columns, getRowId: (w) => w.workload_id, getCoreRowModel: getCoreRowModel(),
    state: { rowSelection: selected }, onRowSelectionChange: setSelected,
  });
  const [patience, setPatience] = useState(barrenLimit);
  const asks = more && barren >= patience;
  useEffect(() => {
    if (more && !asks && !loading && end >= rows.length - 30) load();
  }, [more, asks, loading, end, rows.length, load]);
  return (
    <Scroll label="Workloads">
      <div className="grid" role="table" aria-label="Workloads" aria-rowcount={more ? -1 : rows.length + 1}>
        <div role="rowgroup">
          {table.getHeaderGroups().map((g) => (
            <div role="row" className="row head" key={g.id}>
              {g.headers.map((h) => (
                <div role="columnheader" key={h.id} className={`c-${h.column.id}`}>
                  {h.column.id === "select" ? <input type="checkbox" aria-label="Select all loaded rows" checked={whole} onChange={selectAll} />
                    : flexRender(h.column.columnDef.header, h.getContext())}
                </div>
              ))}
            </div>
          ))}
        </div>
        <div role="rowgroup" ref={body} className="body" style={{ height: rows.length * rowHeight }}>
          {table.getRowModel().rows.map((row, i) => (
            <div
              role="row" data-row aria-rowindex={first + i + 2} key={row.id} className={`row ${row.getIsSelected() ? "on" : ""}`}
              style={{ transform: `translateY(${(first + i) * rowHeight}px)` }}
            >
              {row.getVisibleCells().map((c) => (
                <div role="cell" key={c.id} className={`c-${c.column.id}`}>
                  {flexRender(c.column.columnDef.cell, c.getContext())}
                </div>
              ))}
            </div>
          ))}
        </div>
      </div>
      <p className="muted foot num" role="status">
        {number(rows.length)} {more ? (loading ? "loaded, more come" : "loaded") : rows.length === 1 ? "workload" : "workloads"}
        {asks && <>. The last {barren} pages had none that matches. <button className="small" onClick={() => setPatience(barren + barrenLimit)}>Look further</button></>}
      </p>
    </Scroll>
  );
}

/** beyond is how many rows are there before and behind those in view. Each costs some milliseconds of the first page. */
const beyond = 6;
/** above is about how many rows the filters take from the height of a page that has just been opened. */
const above = 7;

/** useRowsInView returns which of n rows, all of one height, to have in the page: from the first up to the end. */
function useRowsInView(n: number, body: RefObject<HTMLDivElement | null>): [first: number, end: number] {
  const [at, setAt] = useState(-above);
  useEffect(() => {
    const look = () => setAt(Math.floor(-(body.current?.getBoundingClientRect().top ?? 0) / rowHeight));
    look();
    window.addEventListener("scroll", look, { passive: true });
    window.addEventListener("resize", look);
    return () => {
      window.removeEventListener("scroll", look);
      window.removeEventListener("resize", look);
    };
  }, [n, body]);
  const first = Math.max(0, Math.min(at, n) - beyond);
  return [first, Math.min(n, Math.max(0, at + Math.ceil(window.innerHeight / rowHeight)) + beyond)];
}

function columnsOf(admin: boolean, acts: boolean): ColumnDef<Workload>[] {
  const columns: ColumnDef<Workload>[] = [
    { id: "status", header: "Status", cell: ({ row }) => <State of={row.original.status} /> },
    {
      id: "id", header: "Workload",
      cell: ({ row }) => <Link data-open className="mono" to={`/workloads/${row.id}`}>{row.id}</Link>,
    },
    { id: "type", header: "Type", cell: ({ row }) => row.original.workload_type },
  ];
  if (admin) {
    columns.push({
      id: "customer", header: "Customer",
      cell: ({ row }) => <Link to={`/customers/${row.original.customer_id}`}>{row.original.customer_id}</Link>,
    });
  }
  columns.push(
    {
      id: "progress", header: "Progress",
      cell: ({ row }) => <Progress percent={row.original.progress_percent} done={isFinal(row.original.status)} />,
    },
    { id: "worker", header: "Worker, or why none", cell: ({ row }) => <Where w={row.original} /> },
    { id: "gen", header: "Gen", cell: ({ row }) => row.original.generation || "–" },
    { id: "took", header: "Took", cell: ({ row }) => <Took of={row.original} /> },
    { id: "age", header: "Created", cell: ({ row }) => <Time short at={row.original.created_at} /> },
    { id: "labels", header: "Labels", cell: ({ row }) => <Labels of={row.original.labels} /> },
  );
  if (!acts) return columns;
  return [{
    id: "select",
    cell: ({ row }) => (
      <input type="checkbox" aria-label={`Select ${row.id}`} checked={row.getIsSelected()} onChange={row.getToggleSelectedHandler()} />
    ),
  }, ...columns];
}

/** Where names the worker of a workload, or says why it has none. */
function Where({ w }: { w: Workload }) {
  if (w.worker_id) return w.worker_id;
  const why = plain(w.status_reason || w.last_worker_id || "–");
  return <span className="muted" title={why}>{why}</span>;
}

function Took({ of: w }: { of: Workload }) {
  const now = useNow();
  const from = w.started_at ?? w.created_at;
  if (!w.started_at && isFinal(w.status)) return <span className="muted">–</span>;
  const to = w.completed_at ? Date.parse(w.completed_at) : now;
  return (
    <span className={`num ${w.started_at ? "" : "muted"}`} title={w.started_at ? "since the start of its last run" : "waiting"}>
      {duration(to - Date.parse(from))}
    </span>
  );
}
