import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { Link, useParams } from "react-router";
import { api, must } from "../api/client";
import { customer, customerKeys, statisticsOf } from "../api/queries";
import type { CustomerUsage, Key, Tier } from "../api/types";
import { plain } from "../lib/ansi";
import { serverTime } from "../lib/clock";
import { number } from "../lib/format";
import { afterSameLife, fieldOf, timeOf } from "../lib/times";
import { useSession } from "../session";
import { put, useAddress } from "../ui/address";
import { Copy, Dialog, Facts, Failure, Loaded, Meter, State, Scroll, Time } from "../ui/parts";
import { customerState, tiers } from "./customers";
import { Forbidden } from "./forbidden";
import { Finished } from "./overview";

export function Customer() {
  const { admin } = useSession();
  return admin ? <One /> : <Forbidden what="customers" />;
}

function One() {
  const { id = "" } = useParams();
  const c = useQuery(customer(id));
  const finished = useQuery(statisticsOf(id, 3));
  const [asked, setAsked] = useState<"change" | "suspend" | "reactivate">();
  if (!c.data) return <Loaded of={c} rows={8}>{() => null}</Loaded>;
  const { limits, usage } = c.data;
  const close = () => setAsked(undefined);
  return (
    <Loaded of={c}>{() => <>
      <header className="subject">
        <p className="crumbs"><Link to="/customers">Customers</Link></p>
        <div className="line">
          <h1>{plain(c.data.name)} <span className="mono id">{id}</span></h1>
          <span className="actions">
            <Link className="button" to={`/workloads?${new URLSearchParams({ customer: id })}`}>Workloads</Link>
            <Link className="button" to={`/audit?${new URLSearchParams({ customer_id: id })}`}>Who changed it</Link>
            {!c.data.deleting && <button onClick={() => setAsked("change")}>Change</button>}
            {c.data.deleting ? null : c.data.suspended_at
              ? <button onClick={() => setAsked("reactivate")}>Reactivate</button>
              : <button className="danger" onClick={() => setAsked("suspend")}>Suspend</button>}
          </span>
        </div>
        <p className="sentence">
          <State of={customerState(c.data)} />
          <span>{c.data.deleting ? <Removal of={c.data.deleting} /> : c.data.suspended_at ? "It may read and cancel. What runs finishes; nothing new is submitted or placed." : `Tier ${c.data.tier}.`}</span>
        </p>
      </header>
      <div className="meters">
        <Meter label="Running" used={usage.current_running_workloads} of={limits.max_concurrent_workloads} />
        <Meter label="Waiting" used={usage.current_queue_depth} of={limits.max_queue_depth} />
      </div>
      <Facts of={[
        ["Per second", number(limits.rate_limit_per_sec)], ["Burst", number(limits.burst)], ["Today (UTC)", `${number(usage.workloads_today)} submitted`],
        ["May be preempted", c.data.preemptible ? "yes" : "no"], ["Created", <Time at={c.data.created_at} />],
        ...(c.data.encryption_key_id ? [["Encryption key", c.data.encryption_key_id] as [string, string]] : []),
      ]} />
      <section>
        <h2>Finished in the last 3 days</h2>
        <Loaded of={finished} rows={5}>{(s) => <Finished of={s} />}</Loaded>
      </section>
      <Keys id={id} />
      {asked === "change" && <Change c={c.data} onClose={close} />}
      {(asked === "suspend" || asked === "reactivate") && <Suspend c={c.data} action={asked} onClose={close} />}
    </>}</Loaded>
  );
}

/** Removal says how far the deletion of a customer has come. */
function Removal({ of }: { of: NonNullable<CustomerUsage["deleting"]> }) {
  return (
    <>
      It is being removed with all that it has, since <Time at={of.since} />:{" "}
      <span className="num">{of.remaining_estimated && "more than "}{number(of.remaining)}</span> {of.remaining === 1 ? "workload is" : "workloads are"} left.
      Its keys do not work any more, and its id is never given out again.
    </>
  );
}

function Suspend({ c, action, onClose }: { c: CustomerUsage; action: "suspend" | "reactivate"; onClose: () => void }) {
  const client = useQueryClient();
  const run = useMutation({
    mutationFn: () => {
      const o = { params: { path: { id: c.customer_id } } };
      return action === "suspend" ? must(api.POST("/v1/admin/customers/{id}/suspend", o)) : must(api.POST("/v1/admin/customers/{id}/reactivate", o));
    },
    onSuccess: () => { void client.invalidateQueries({ queryKey: ["customers"] }); onClose(); },
  });
  return (
    <Dialog title={`${action === "suspend" ? "Suspend" : "Reactivate"} ${c.name}?`} onClose={onClose}>
      <p>{action === "suspend"
        ? `Nothing new of it is submitted or placed. ${c.usage.current_queue_depth} waiting workloads go on waiting, ${c.usage.current_running_workloads} running ones finish.`
        : `It may submit again, and its ${c.usage.current_queue_depth} waiting workloads are placed.`}</p>
      {run.isError && <Failure error={run.error} />}
      <div className="buttons">
        <button onClick={onClose}>Leave it</button>
        <button className={action === "suspend" ? "danger" : "primary"} disabled={run.isPending} onClick={() => run.mutate()}>{action === "suspend" ? "Suspend" : "Reactivate"}</button>
      </div>
    </Dialog>
  );
}

const limitNames = {
  max_concurrent_workloads: "Running at most", max_queue_depth: "Waiting at most", rate_limit_per_sec: "Requests per second", burst: "Burst",
};

/** Change changes a customer. What others change meanwhile, and this form does not, stays. */
function Change({ c: now, onClose }: { c: CustomerUsage; onClose: () => void }) {
  const client = useQueryClient();
  // The form is compared with what it was filled with: the customer is read again while it is open.
  const c = useRef(now).current;
  const [name, setName] = useState(c.name);
  const [tier, setTier] = useState(c.tier);
  const [limits, setLimits] = useState<Record<string, string>>(() => Object.fromEntries(Object.entries(c.limits).map(([k, v]) => [k, String(v)])));
  const save = useMutation({
    mutationFn: () => {
      // Only what was changed is sent, so that the rest stays the tier's.
      const changed = Object.entries(limits).filter(([k, v]) => v !== String(c.limits[k as keyof typeof c.limits]));
      return must(api.PATCH("/v1/admin/customers/{id}", {
        params: { path: { id: c.customer_id } },
        body: {
          ...(name !== c.name ? { name } : {}), ...(tier !== c.tier ? { tier } : {}),
          ...(changed.length ? { limits: Object.fromEntries(changed.map(([k, v]) => [k, v === "" ? null : Number(v)])) } : {}),
        },
      }));
    },
    onSuccess: () => { void client.invalidateQueries({ queryKey: ["customers"] }); onClose(); },
  });
  return (
    <Dialog title={`Change ${c.name}`} onClose={onClose}>
      <form onSubmit={(e) => { e.preventDefault(); save.mutate(); }}>
        <label className="wide"><span>Name</span><input required maxLength={200} value={name} onChange={(e) => setName(e.target.value)} /></label>
        <label className="wide"><span>Tier</span><select value={tier} onChange={(e) => setTier(e.target.value as Tier)}>{tiers.map((t) => <option key={t}>{t}</option>)}</select></label>
        {Object.entries(limitNames).map(([k, label]) => (
          <label className="wide" key={k}><span>{label} (empty: the tier's)</span>
            <input type="number" min="0" step="any" value={limits[k]} onChange={(e) => setLimits({ ...limits, [k]: e.target.value })} />
          </label>
        ))}
        {save.isError && <Failure error={save.error} />}
        <div className="buttons"><button type="button" onClick={onClose}>Leave it</button><button className="primary" disabled={save.isPending}>Save</button></div>
      </form>
    </Dialog>
  );
}

function Keys({ id }: { id: string }) {
  const client = useQueryClient();
  const list = useQuery(customerKeys(id));
  const [query, change] = useAddress();
  const all = query.get("keys") === "all";
  const [role, setRole] = useState<Key["role"]>("customer");
  const [name, setName] = useState("");
  const [expires, setExpires] = useState("");
  const [adding, setAdding] = useState(false);
  // old is the key that the new one takes the place of.
  const [old, setOld] = useState<string>();
  const [revoking, setRevoking] = useState<string>();
  const again = () => void client.invalidateQueries({ queryKey: customerKeys(id).queryKey });
  const add = useMutation({
    mutationFn: () => must(api.POST("/v1/admin/customers/{id}/keys", { params: { path: { id } }, body: { role, ...(name ? { name } : {}), ...(expires ? { expires_at: timeOf(expires) } : {}) } })),
    // If the answer was lost, the list shows whether the key was made.
    onSettled: again,
  });
  const revoke = useMutation({
    mutationFn: (key: string) => must(api.DELETE("/v1/admin/customers/{id}/keys/{key_id}", { params: { path: { id, key_id: key } } })),
    onSuccess: () => { setRevoking(undefined); again(); },
  });
  const close = () => { setAdding(false); add.reset(); setRole("customer"); setName(""); setExpires(""); setOld(undefined); };
  const rotate = (k: Key) => {
    setRole(k.role);
    setName(k.name);
    setExpires(fieldOf(afterSameLife(k, serverTime())));
    setOld(k.key_id);
    setAdding(true);
  };
  const shown = (list.data?.keys ?? []).filter((k) => all || !k.revoked_at);
  return (
    <section>
      <div className="line"><h2>Keys</h2><span className="actions">
        <label className="check"><input type="checkbox" checked={all} onChange={(e) => change(put("keys", e.target.checked ? "all" : undefined))} /> Revoked too</label>
        <button onClick={() => setAdding(true)}>Make a key</button>
      </span></div>
      <Loaded of={list} rows={2}>{() => (!shown.length ? <p className="muted">None.</p> : (
        <Scroll label="Keys"><table>
          <thead><tr><th>Key</th><th>Name</th><th>Role</th><th>Begins with</th><th>Created</th><th>Expires</th><th /></tr></thead>
          <tbody>{shown.map((k) => (
            <tr key={k.key_id} className={k.revoked_at ? "gone" : ""}>
              <td className="mono">{k.key_id}</td><td>{plain(k.name) || "–"}</td><td>{k.role}</td><td className="mono">{k.prefix}…</td>
              <td><Time short at={k.created_at} /></td><td>{k.expires_at ? <Time at={k.expires_at} /> : "never"}</td>
              <td className="r">{k.revoked_at ? <>revoked <Time short at={k.revoked_at} /></> : <><button className="quiet small" onClick={() => rotate(k)}>Rotate</button><button className="quiet small" onClick={() => setRevoking(k.key_id)}>Revoke</button></>}</td>
            </tr>
          ))}</tbody>
        </table></Scroll>
      ))}</Loaded>
      {adding && (
        <Dialog title={old ? "Rotate the key" : "Make a key"} onClose={close}>
          {add.data ? (
            <>
              <p>This is the only time that the key is shown.</p>
              {old && <p>The old key, <span className="mono">{old}</span>, works until you revoke it: do so when nothing uses it any more.</p>}
              <p className="secret mono">{add.data.key}</p>
              <div className="buttons"><Copy text={add.data.key} label="Copy the key" />{old && <button className="danger" onClick={() => { setRevoking(old); close(); }}>Revoke the old one</button>}<button className="primary" onClick={close}>I have it</button></div>
            </>
          ) : (
            <form onSubmit={(e) => { e.preventDefault(); add.mutate(); }}>
              <label className="wide"><span>What it is for</span><input value={name} maxLength={200} onChange={(e) => setName(e.target.value)} /></label>
              <label className="wide"><span>Role</span><select value={role} onChange={(e) => setRole(e.target.value as Key["role"])}><option>customer</option><option>viewer</option></select></label>
              <label className="wide"><span>Expires (empty: never)</span><input type="datetime-local" value={expires} onChange={(e) => setExpires(e.target.value)} /></label>
              {add.isError && <Failure error={add.error} />}
              <div className="buttons"><button type="button" onClick={close}>Close</button><button className="primary" disabled={add.isPending}>Make it</button></div>
            </form>
          )}
        </Dialog>
      )}
      {revoking && (
        <Dialog title="Revoke the key?" onClose={() => setRevoking(undefined)}>
          <p className="mono">{revoking}</p>
          <p>Within 5 seconds nobody can use it any more, sessions of this console included. It cannot be given back.</p>
          {revoke.isError && <Failure error={revoke.error} />}
          <div className="buttons"><button onClick={() => setRevoking(undefined)}>Leave it</button><button className="danger" onClick={() => revoke.mutate(revoking)}>Revoke</button></div>
        </Dialog>
      )}
    </section>
  );
}
