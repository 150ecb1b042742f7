import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { config, health, ready } from "../api/queries";
import { duration } from "../lib/format";
import { useSession } from "../session";
import { put, useAddress } from "../ui/address";
import { Facts, Loaded, Scroll, Time } from "../ui/parts";

export function Settings() {
  const { session, admin } = useSession();
  const h = useQuery(health());
  const r = useQuery(ready());
  const c = useQuery({ ...config(), enabled: admin });
  return (
    <>
      <h1>Settings</h1>
      <div className="pair">
        <section>
          <h2>Server</h2>
          <Loaded of={h} rows={3}>{(d) => (
            <Facts of={[
              ...(c.data ? [["Name", <span className="mono">{c.data.name}</span>] as [string, ReactNode]] : []),
              ["Version", d.version], ["Up for", duration(d.uptime_seconds * 1000)],
              ["Ready", r.data?.status], ["Leads", r.data && (r.data.is_leader ? "yes" : c.data?.leader ? <>no, <span className="mono">{c.data.leader}</span> does</> : "no, another coordinator does")],
              ...Object.entries(r.data?.dependencies ?? {}).map(([k, v]): [string, string] => [named(k), v === true ? "yes" : v === false ? "no" : String(v)]),
            ]} />
          )}</Loaded>
          <p><a href="/docs">API documentation</a> · <a href="/openapi.yaml">OpenAPI file</a> · <a href="/metrics">Metrics</a> · <a href="/console/licenses.txt">Licenses</a></p>
        </section>
        <section>
          <h2>This session</h2>
          <Facts of={[
            ["Role", session.role], ["Customer", session.customer_id], ["Key", <span className="mono">{session.key_id}</span>],
            ["Name of the key", session.key_name], ["Ends", session.expires_at && <Time at={session.expires_at} />],
          ]} />
        </section>
      </div>
      {admin && <Configuration />}
    </>
  );
}

/** named makes a title of a name of the API. */
const named = (name: string) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

/** Configuration shows what this coordinator was started with. */
function Configuration() {
  const c = useQuery(config());
  const [query, change] = useAddress();
  const text = query.get("setting") ?? "";
  const shown = (c.data?.settings ?? []).filter((s) => s.name.toLowerCase().includes(text.toLowerCase()));
  return (
    <section>
      <h2>Configuration of this coordinator</h2>
      <Loaded of={c}>{() => (
        <>
          <div className="tools">
            <input
              type="search" placeholder="Find a setting" aria-label="Find a setting" value={text}
              onChange={(e) => change(put("setting", e.target.value))}
            />
            <span className="muted">Secrets are masked.</span>
          </div>
          <Scroll label="Configuration">
            <table>
              <thead><tr><th>Setting</th><th>Value</th></tr></thead>
              <tbody>
                {shown.map((s) => (
                  <tr key={s.name}>
                    <td className="mono">{s.name}</td>
                    <td className="mono">{s.value === "" ? <span className="muted">not set</span> : s.value}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        </>
      )}</Loaded>
    </section>
  );
}
