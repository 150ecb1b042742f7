import { Link } from "react-router";
import type { PlacementReason } from "../api/types";
import { useSession } from "../session";

/** Reason says why something waits, and leads to the limit or the workers that it speaks of. */
export function Reason({ of: r, customer }: { of: PlacementReason; customer: string }) {
  const { admin } = useSession();
  const to = pageOf(r, customer, admin);
  return (
    <>
      {to ? <Link to={to}>{r.message}</Link> : r.message}
      {r.worker_ids?.map((id) => <span key={id}> <Link className="chip" to={`/workers/${encodeURIComponent(id)}`}>{id}</Link></span>)}
      {r.worker_ids && r.workers && r.workers > r.worker_ids.length ? <span className="muted"> and {r.workers - r.worker_ids.length} more</span> : null}
    </>
  );
}

function pageOf(r: PlacementReason, customer: string, admin: boolean): string | undefined {
  if (r.code.startsWith("customer_")) return admin ? `/customers/${encodeURIComponent(customer)}` : "/#limits";
  if (!admin) return undefined;
  if (r.code === "worker_draining") return "/workers?status=DRAINING";
  if (r.workers || r.code === "no_worker" || r.code === "type_not_offered") return "/workers";
  return undefined;
}
