import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { lanes, queueDepth, type LaneFilters } from "../api/queries";
import type { Lane } from "../api/types";
import { duration, number } from "../lib/format";
import { useSession } from "../session";
import { put, useAddress } from "../ui/address";
import { Empty, Field, Loaded, Scroll, State, useNow } from "../ui/parts";
import { Reason } from "../ui/reason";
import { Views } from "../ui/views";
import { Depth } from "./overview";

/** Queues shows what waits: to administrators by lane with what blocks it, to customers by type. */
export function Queues() {
  const { admin } = useSession();
  const depth = useQuery(queueDepth());
  return (
    <>
      <h1>Queues</h1>
      {admin && <Lanes />}
      <Loaded of={depth}>{(q) => <Depth q={q} />}</Loaded>
    </>
  );
}

function Lanes() {
  const [query, change] = useAddress();
  const f: LaneFilters = {};
  if (query.get("customer")) f.customer_id = query.get("customer") ?? "";
  if (query.get("type")) f.workload_type = query.get("type") ?? "";
  const blocked = query.get("blocked");
  if (blocked) f.blocked = blocked === "true";
  const set = (name: string) => (value?: string) => change(put(name, value));
  const list = useInfiniteQuery(lanes(f));
  const rows = list.data?.pages.flatMap((p) => p.lanes) ?? [];
  return (
    <section>
      <div className="fields few">
        <Field label="Customer" value={f.customer_id} set={set("customer")} />
        <Field label="Type" value={f.workload_type} set={set("type")} />
        <label>
          <span>State</span>
          <select value={blocked ?? ""} onChange={(e) => set("blocked")(e.target.value)}>
            <option value="">all</option>
            <option value="true">blocked</option>
            <option value="false">moving</option>
          </select>
        </label>
      </div>
      <Views />
      <Loaded of={list}>
        {(data) => (!rows.length ? (
          <Empty title={query.size ? "No lane matches" : "Nothing waits"}>
            {query.size ? "Take a filter away, or widen it." : "What is submitted starts at once, or waits for its time."}
          </Empty>
        ) : (
          <Scroll label="Lanes">
            <table>
                <thead>
                  <tr>
                    <th>State</th><th>Customer</th><th>Tier</th><th>Type</th><th className="r">Priority</th>
                    <th className="r">Waiting</th><th className="r">Oldest</th><th className="r">Placed/min</th><th>First</th><th>Why</th>
                  </tr>
                </thead>
                <tbody>{rows.map((l) => <Row key={l.lane_id} l={l} />)}</tbody>
            </table>
              {list.hasNextPage && <p><button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>More</button></p>}
              {data.pages.at(-1)?.incomplete && <p className="muted">A customer has more lanes than are looked at: only some of its are listed.</p>}
          </Scroll>
        ))}
      </Loaded>
    </section>
  );
}

function Row({ l }: { l: Lane }) {
  const now = useNow();
  const waiting = new URLSearchParams([
    ["status", "PENDING"], ["status", "REDISTRIBUTING"], ["customer", l.customer_id], ["type", l.workload_type],
  ]);
  return (
    <tr data-row>
      <td><State of={l.blocked ? "BLOCKED" : "PENDING"}>{l.blocked ? "Blocked" : "Moves"}</State></td>
      <td><Link to={`/customers/${l.customer_id}`}>{l.customer_id}</Link></td>
      <td>{l.tier}</td>
      <td><Link data-open to={`/workloads?${waiting}`}>{l.workload_type}</Link></td>
      <td className="r num">{l.priority}</td>
      <td className="r num">{l.queue_depth_estimated && "about "}{number(l.queue_depth)}</td>
      <td className="r num" title={l.oldest_queued_at}>{duration(now - Date.parse(l.oldest_queued_at))}</td>
      <td className="r num" title="Of its type, in the last 5 minutes">{l.placed_per_minute ? number(Math.round(l.placed_per_minute * 10) / 10) : "–"}</td>
      <td><Link className="mono" to={`/workloads/${l.first_workload_id}`}>{l.first_workload_id}</Link></td>
      <td className="wrap">
        {l.reasons.map((r, i) => <span key={r.code + r.message}>{i > 0 && "; "}<Reason of={r} customer={l.customer_id} /></span>)}
      </td>
    </tr>
  );
}
