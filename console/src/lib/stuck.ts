import type { TypeDepth } from "../api/types";
import { number } from "./format";

/** most is how many types are named. */
const most = 3;

/** stuckItems says what no worker can run of a customer's workloads, and where to look at it. */
export function stuckItems(types: TypeDepth[]): [what: string, to: string][] {
  const stuck = types.flatMap((t) => (t.unplaceable ? [{ type: t.workload_type, ...t.unplaceable }] : []));
  stuck.sort((a, b) => b.queue_depth - a.queue_depth);
  const items = stuck.slice(0, most).map(({ type, queue_depth, queue_depth_estimated, first_workload_id }): [string, string] => [
    `${queue_depth_estimated ? "About " : ""}${number(queue_depth)} of type ${type} that no worker can run`,
    queue_depth === 1 ? `/workloads/${first_workload_id}`
      : `/workloads?${new URLSearchParams([["status", "PENDING"], ["status", "REDISTRIBUTING"], ["type", type]])}`,
  ]);
  const rest = stuck.length - items.length;
  if (rest > 0) items.push([`${number(rest)} more ${rest === 1 ? "type" : "types"} that no worker can run`, "/queues"]);
  return items;
}
