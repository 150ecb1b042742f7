import { useQuery } from "@tanstack/react-query";
import { placement } from "../../api/queries";
import type { Placement } from "../../api/types";
import { ago, local, number } from "../../lib/format";
import { Failure, useNow } from "../../ui/parts";

/** Why says why a workload waits. */
export function Why({ id }: { id: string }) {
  const p = useQuery(placement(id));
  const now = useNow();
  return (
    <section className="why" aria-labelledby="why">
      <h2 id="why">Why it waits</h2>
      {p.isPending ? <p className="muted">Looking at the queue and the workers.</p>
        : p.isError ? <Failure error={p.error} retry={() => void p.refetch()} />
          : !p.data.waiting ? <p className="muted">It no longer waits.</p>
            : (
              <>
                <p>{sentence(p.data, now)}</p>
                <ul>
                  {p.data.reasons.map((r) => <li key={r.code + r.message}>{r.message}</li>)}
                </ul>
              </>
            )}
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
  return parts.join(" ");
}
