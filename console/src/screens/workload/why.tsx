import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { placement } from "../../api/queries";
import type { Placement } from "../../api/types";
import { ago, duration, local, number } from "../../lib/format";
import { useSession } from "../../session";
import { Loaded, useNow } from "../../ui/parts";
import { Reason } from "../../ui/reason";

/** Why says why a workload waits. */
export function Why({ id, customer, type }: { id: string; customer: string; type: string }) {
  const p = useQuery(placement(id));
  const { admin } = useSession();
  const now = useNow();
  const lanes = `/queues?${new URLSearchParams({ customer, type })}`;
  return (
    <section className="why" aria-labelledby="why">
      <h2 id="why">Why it waits</h2>
      <Loaded of={p} rows={2}>
        {(d) => (!d.waiting ? <p className="muted">It no longer waits.</p> : (
          <>
            <p>{sentence(d, now)} {admin && <Link to={lanes}>What waits beside it</Link>}</p>
            <ul>
              {d.reasons.map((r) => <li key={r.code + r.message}><Reason of={r} customer={customer} /></li>)}
            </ul>
          </>
        ))}
      </Loaded>
    </section>
  );
}

function sentence(p: Placement, now: number): string {
  const parts: string[] = [];
  if (p.position) parts.push(p.position === 1 ? "It is next in the queue." : `${p.position_estimated ? "About " : ""}${number(p.position - 1)} are ahead of it.`);
  if (!p.placeable) parts.push("No worker that is here could run it, even an empty one.");
  if (p.estimated_start_time) {
    const at = Date.parse(p.estimated_start_time);
    parts.push(`It may start at ${local(at)} (${ago(at, now)}${p.confidence ? `, confidence ${p.confidence}` : ""}).`);
  } else if (p.placeable) parts.push("There is nothing to estimate its start from.");
  if (p.usual_wait) {
    const { p50_seconds: half, p95_seconds: most } = p.usual_wait;
    parts.push(`Workloads like it usually wait ${duration(half * 1000)}, and 95 of 100 at most ${duration(most * 1000)}.`);
  }
  return parts.join(" ");
}
