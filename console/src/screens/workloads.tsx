import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { flexRender, getCoreRowModel, useReactTable, type ColumnDef, type RowSelectionState } from "@tanstack/react-table";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { live } from "../api/live";
import { workloadColumns, workloadRows } from "../api/exports";
import { listOf } from "../api/queries";
import { isFinal, statuses, type Workload } from "../api/types";
import { hasText, readFilters, writeFilters, type Filters } from "../lib/filters";
import { duration } from "../lib/format";
import { useSession } from "../session";
import { Empty, Failure, Field, Labels, Loading, Progress, Scroll, State, Time, useNow } from "../ui/parts";
import { Export } from "../ui/export";
import { Views } from "../ui/views";
import { BulkBar } from "./bulk";
import { Submit } from "./submit";

/** rowHeight is that of the style sheet. */
const rowHeight = 33;

export function Workloads() {
  const { admin, acts } = useSession();
  const [query, setQuery] = useSearchParams();
  const f = useMemo(() => readFilters(query), [query]);
  const set = (change: Partial<Filters>) => setQuery(writeFilters({ ...f, ...change }), { replace: true });
  const list = useInfiniteQuery(listOf(f, admin));
  const [selected, setSelected] = useState<RowSelectionState>({});
  useEffect(() => setSelected({}), [query]);

  const rows = useMemo(() => {
    const all = list.data?.pages.flatMap((p) => p.workloads) ?? [];
    const text = f.text?.toLowerCase();
    return text ? all.filter((w) => hasText(w, text)) : all;
  }, [list.data, f.text]);

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
      {list.isPending ? <Loading rows={12} />
        : list.isError && !rows.length ? <Failure error={list.error} retry={() => void list.refetch()} />
          : !rows.length && !list.hasNextPage ? (
            filtered
              ? <Empty title="No workload matches">Take a filter away, or widen it.</Empty>
              : <Empty title="No workloads yet">Submit one: <code>niyanta workload submit sleep --input '{"{\"duration_ms\": 3000}"}'</code></Empty>
          ) : (
            <Table
              rows={rows} admin={admin} acts={acts} selected={selected} setSelected={setSelected}
              more={list.hasNextPage} loading={list.isFetchingNextPage} load={() => void list.fetchNextPage()}
            />
          )}
    </>
  );
}

function FilterBar({ f, set, admin }: { f: Filters; set: (change: Partial<Filters>) => void; admin: boolean }) {
  const toggle = (s: (typeof statuses)[number]) =>
    set({ status: f.status.includes(s) ? f.status.filter((x) => x !== s) : [...f.status, s] });
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
        <Field label="Add label" hint="key=value" value="" set={(l) => l?.includes("=") && set({ label: [...new Set([...f.label, l])] })} />
        <Field label="Text in these rows" value={f.text} set={(text) => set({ text })} />
        <label>
          <span>Created after</span>
          <input type="datetime-local" value={f.after ?? ""} onChange={(e) => set({ after: e.target.value || undefined })} />
        </label>
        <label>
          <span>Created before</span>
          <input type="datetime-local" value={f.before ?? ""} onChange={(e) => set({ before: e.target.value || undefined })} />
        </label>
        <label>
          <span>Order</span>
          <select value={f.order} onChange={(e) => set({ order: e.target.value as Filters["order"] })}>
            {/* Without a customer, the server lists one customer after the other. */}
            <option value="created_at">{admin && !f.customer ? "By customer, newest" : "Newest"}</option>
            <option value="updated_at">{admin && !f.customer ? "By customer, last changed" : "Last changed"}</option>
            <option value="priority">{admin && !f.customer ? "By customer, priority" : "Priority"}</option>
          </select>
        </label>
      </div>
      {f.label.length > 0 && (
        <div className="chips">
          {f.label.map((l) => (
            <button key={l} className="chip" onClick={() => set({ label: f.label.filter((x) => x !== l) })}>
              {l} <span aria-label="remove">×</span>
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

/** Newer counts workloads that came since the list was read. They do not push rows away by themselves. */
function Newer({ f, admin }: { f: Filters; admin: boolean }) {
  const client = useQueryClient();
  const [ids, setIDs] = useState<ReadonlySet<string>>(new Set());
  const key = listOf(f, admin).queryKey;
  const hash = JSON.stringify(key);
  useEffect(() => setIDs(new Set()), [hash]);
  useEffect(() => live.listen((events) => {
    const created = events.filter((e) => e.event_type === "workload.created" && (!f.customer || e.customer_id === f.customer));
    if (created.length) setIDs((old) => new Set([...old, ...created.map((e) => e.workload_id)]));
  }), [f.customer]);
  const narrow = f.status.length || f.label.length || f.type;
  return (
    <div className="newer" role="status">
      {ids.size > 0 && (
        <button onClick={() => { setIDs(new Set()); void client.resetQueries({ queryKey: key }); }}>
          {ids.size.toLocaleString("en")} new{narrow ? ", some may match" : ""} · show
        </button>
      )}
    </div>
  );
}

function Table({ rows, admin, acts, selected, setSelected, more, loading, load }: {
  rows: Workload[]; admin: boolean; acts: boolean; selected: RowSelectionState;
  setSelected: React.Dispatch<React.SetStateAction<RowSelectionState>>;
  more: boolean; loading: boolean; load: () => void;
}) {
  const columns = useMemo(() => columnsOf(admin, acts), [admin, acts]);
  const table = useReactTable({
    data: rows, columns, getRowId: (w) => w.workload_id, getCoreRowModel: getCoreRowModel(),
    state: { rowSelection: selected }, onRowSelectionChange: setSelected,
  });
  const all = table.getRowModel().rows;
  const body = useRef<HTMLDivElement>(null);
  const virtual = useWindowVirtualizer({
    count: all.length, estimateSize: () => rowHeight, overscan: 12, scrollMargin: body.current?.offsetTop ?? 0,
  });
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (more && !loading && last >= all.length - 30) load();
  }, [more, loading, last, all.length, load]);
  return (
    <Scroll label="Workloads">
      <div className="grid" role="table" aria-label="Workloads" aria-rowcount={more ? -1 : all.length + 1}>
        <div role="rowgroup">
          {table.getHeaderGroups().map((g) => (
            <div role="row" className="row head" key={g.id}>
              {g.headers.map((h) => (
                <div role="columnheader" key={h.id} className={`c-${h.column.id}`}>
                  {flexRender(h.column.columnDef.header, h.getContext())}
                </div>
              ))}
            </div>
          ))}
        </div>
        <div role="rowgroup" ref={body} className="body" style={{ height: virtual.getTotalSize() }}>
          {items.map((item) => {
            const row = all[item.index];
            return row && (
              <div
                role="row" data-row aria-rowindex={item.index + 2} key={row.id} className={`row ${row.getIsSelected() ? "on" : ""}`}
                style={{ transform: `translateY(${item.start - virtual.options.scrollMargin}px)` }}
              >
                {row.getVisibleCells().map((c) => (
                  <div role="cell" key={c.id} className={`c-${c.column.id}`}>
                    {flexRender(c.column.columnDef.cell, c.getContext())}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      </div>
      <p className="muted foot num" role="status">
        {all.length.toLocaleString("en")} {more ? (loading ? "loaded, more come" : "loaded") : all.length === 1 ? "workload" : "workloads"}
      </p>
    </Scroll>
  );
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
    { id: "worker", header: "Worker", cell: ({ row }) => row.original.worker_id ?? <span className="muted">{row.original.last_worker_id ?? "–"}</span> },
    { id: "gen", header: "Gen", cell: ({ row }) => row.original.generation || "–" },
    { id: "took", header: "Took", cell: ({ row }) => <Took of={row.original} /> },
    { id: "age", header: "Created", cell: ({ row }) => <Time short at={row.original.created_at} /> },
    { id: "labels", header: "Labels", cell: ({ row }) => <Labels of={row.original.labels} /> },
  );
  if (!acts) return columns;
  return [{
    id: "select",
    header: ({ table }) => (
      <input
        type="checkbox" aria-label="Select all loaded rows" checked={table.getIsAllRowsSelected()}
        onChange={table.getToggleAllRowsSelectedHandler()}
      />
    ),
    cell: ({ row }) => (
      <input type="checkbox" aria-label={`Select ${row.id}`} checked={row.getIsSelected()} onChange={row.getToggleSelectedHandler()} />
    ),
  }, ...columns];
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
