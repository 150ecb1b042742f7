import { useInfiniteQuery } from "@tanstack/react-query";
import { auditColumns, auditRows } from "../api/exports";
import { adminAudit, type AdminAuditFilters } from "../api/queries";
import { escaped, plain } from "../lib/ansi";
import { useSession } from "../session";
import { Empty, Field, Loaded, Scroll, Time } from "../ui/parts";
import { Export } from "../ui/export";
import { put, useAddress } from "../ui/address";
import { Views } from "../ui/views";
import { Forbidden } from "./forbidden";

export function Audit() {
  const { admin } = useSession();
  return admin ? <List /> : <Forbidden what="what administrators did" />;
}

const names = ["actor_id", "event_type", "target_id", "customer_id"] as const;

const words = { actor_id: "By", event_type: "Action", target_id: "Target", customer_id: "Customer" };
const hints: Partial<typeof words> = { event_type: "customer.updated", target_id: "an id" };

function List() {
  const [query, change] = useAddress();
  const f: AdminAuditFilters = {};
  for (const n of names) if (query.get(n)) f[n] = query.get(n) ?? undefined;
  const list = useInfiniteQuery(adminAudit(f));
  const rows = list.data?.pages.flatMap((p) => p.events) ?? [];
  const only = (name: (typeof names)[number], value: string) => change(put(name, value), true);
  const without = (name: (typeof names)[number]) => change(put(name), true);
  const Pick = ({ name, value }: { name: (typeof names)[number]; value: string }) => (
    <button className="pick" title={`Only ${value}`} onClick={() => only(name, value)}>{value}</button>
  );
  return (
    <>
      <div className="line">
        <h1>Audit</h1>
        <span className="actions"><Export name="audit" columns={auditColumns} page={(cursor, signal) => auditRows(f, cursor, signal)} /></span>
      </div>
      <div className="fields few">
        {names.map((n) => <Field key={n} label={words[n]} value={f[n]} hint={hints[n]} set={(v) => (v ? only(n, v) : without(n))} />)}
      </div>
      <div className="chips">
        {names.filter((n) => f[n]).map((n) => (
          <button key={n} className="chip" onClick={() => without(n)}>{words[n]}: {f[n]} <span aria-label="remove">×</span></button>
        ))}
        {!Object.keys(f).length && <span className="muted">Or choose a value in the list to see only what has it.</span>}
      </div>
      <Views />
      <Loaded of={list} rows={10}>
        {() => (!rows.length ? <Empty title={Object.keys(f).length ? "No action matches" : "No administrator has done anything yet"} /> : (
          <Scroll label="Audit">
            <table>
              <thead><tr><th>When</th><th>Action</th><th>Target</th><th>Customer</th><th>By</th><th>From</th><th>Change</th></tr></thead>
              <tbody>
                {rows.map((e) => (
                  <tr key={e.event_id}>
                    <td><Time at={e.timestamp} /></td>
                    <td><Pick name="event_type" value={e.event_type} /></td>
                    <td><Pick name="target_id" value={e.target_id} /></td>
                    <td>{e.customer_id ? <Pick name="customer_id" value={e.customer_id} /> : "–"}</td>
                    <td><Pick name="actor_id" value={e.actor_id} /> <span className="muted">{plain(e.actor_name)}</span></td>
                    <td className="mono">{e.address}</td>
                    <td><Diff before={e.before} after={e.after} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
            {list.hasNextPage && <p><button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>Older</button></p>}
          </Scroll>
        ))}
      </Loaded>
    </>
  );
}

type Side = Record<string, unknown> | null | undefined;

/** Diff shows the fields in which the two sides differ. */
function Diff({ before, after }: { before: Side; after: Side }) {
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].filter(
    (k) => JSON.stringify(before?.[k]) !== JSON.stringify(after?.[k]),
  );
  if (!keys.length) return <span className="muted">–</span>;
  const show = (v: unknown) => (v === undefined || v === null ? "" : typeof v === "string" ? v : JSON.stringify(v));
  return (
    <details className="diff">
      <summary>{keys.length === 1 ? keys[0] : `${keys.length} fields`}</summary>
      {keys.map((k) => (
        <div key={k} className="mono">
          {k}: {before && <del>{escaped(show(before[k]))}</del>} {after && <ins>{escaped(show(after[k]))}</ins>}
        </div>
      ))}
    </details>
  );
}
