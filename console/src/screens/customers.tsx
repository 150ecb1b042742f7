import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { api, must } from "../api/client";
import { customers } from "../api/queries";
import type { Customer, Tier } from "../api/types";
import { plain } from "../lib/ansi";
import { number } from "../lib/format";
import { useSession } from "../session";
import { Dialog, Empty, Failure, Loaded, State, Scroll, Time } from "../ui/parts";
import { Forbidden } from "./forbidden";

export function Customers() {
  const { admin } = useSession();
  return admin ? <List /> : <Forbidden what="customers" />;
}

function List() {
  const list = useInfiniteQuery(customers());
  const [adding, setAdding] = useState(false);
  const rows = list.data?.pages.flatMap((p) => p.customers) ?? [];
  return (
    <>
      <div className="line"><h1>Customers</h1><span className="actions"><button className="primary" onClick={() => setAdding(true)}>Onboard</button></span></div>
      <Loaded of={list}>
        {() => (!rows.length ? <Empty title="No customers yet">Onboard the first one, then make it a key.</Empty> : (
          <Scroll label="Customers">
            <table>
              <thead>
                <tr><th>State</th><th>Customer</th><th>Name</th><th>Tier</th><th className="r">Running</th><th className="r">Waiting</th><th className="r">Today</th><th className="r">Per second</th><th>Since</th></tr>
              </thead>
              <tbody>
                {rows.map((c) => (
                  <tr key={c.customer_id} data-row>
                    <td><State of={customerState(c)} /></td>
                    <td><Link data-open to={`/customers/${c.customer_id}`}>{c.customer_id}</Link></td>
                    <td>{plain(c.name)}</td><td>{c.tier}</td>
                    <td className="r"><Used used={c.usage?.current_running_workloads ?? 0} of={c.limits.max_concurrent_workloads} /></td>
                    <td className="r"><Used used={c.usage?.current_queue_depth ?? 0} of={c.limits.max_queue_depth} /></td>
                    <td className="r num" title="Submitted since midnight UTC">{number(c.usage?.workloads_today ?? 0)}</td>
                    <td className="r num">{number(c.limits.rate_limit_per_sec)}</td>
                    <td><Time short at={c.created_at} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
            {list.hasNextPage && <button onClick={() => void list.fetchNextPage()}>More</button>}
          </Scroll>
        ))}
      </Loaded>
      {adding && <Onboard onClose={() => setAdding(false)} />}
    </>
  );
}

/** Used shows how much of a limit is used: what is at it stands out. */
function Used({ used, of }: { used: number; of: number }) {
  const share = of > 0 ? used / of : 0;
  return <span className={`num used ${share >= 1 ? "full" : share >= 0.8 ? "high" : ""}`}>{number(used)}<span className="muted"> / {number(of)}</span></span>;
}

/** customerState is the word for how a customer is. */
export const customerState = (c: Pick<Customer, "suspended_at"> & { deleting?: unknown }) =>
  c.deleting ? "DELETING" : c.suspended_at ? "SUSPENDED" : "ACTIVE";

export const tiers: Tier[] = ["free", "standard", "premium", "enterprise"];

function Onboard({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const go = useNavigate();
  const [name, setName] = useState("");
  const [id, setID] = useState("");
  const [tier, setTier] = useState<Tier>("standard");
  const add = useMutation({
    mutationFn: () => must(api.POST("/v1/admin/customers", { body: { name, tier, ...(id ? { customer_id: id } : {}) } })),
    onSuccess: (c) => {
      void client.invalidateQueries({ queryKey: ["customers"] });
      void go(`/customers/${c.customer_id}`);
    },
  });
  return (
    <Dialog title="Onboard a customer" onClose={onClose}>
      <form onSubmit={(e) => { e.preventDefault(); add.mutate(); }}>
        <label className="wide"><span>Name</span><input required maxLength={200} value={name} onChange={(e) => setName(e.target.value)} /></label>
        <label className="wide"><span>Id (a new one if empty)</span><input placeholder="cust_acme" value={id} onChange={(e) => setID(e.target.value)} /></label>
        <label className="wide"><span>Tier</span>
          <select value={tier} onChange={(e) => setTier(e.target.value as Tier)}>{tiers.map((t) => <option key={t}>{t}</option>)}</select>
        </label>
        {add.isError && <Failure error={add.error} />}
        <div className="buttons">
          <button type="button" onClick={onClose}>Close</button>
          <button className="primary" disabled={add.isPending || !name}>Onboard</button>
        </div>
      </form>
    </Dialog>
  );
}
