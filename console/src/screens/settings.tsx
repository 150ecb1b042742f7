import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { config, health, ready } from "../api/queries";
import { duration } from "../lib/format";
import { useSession } from "../session";
import { Facts, Loaded, Scroll, Time } from "../ui/parts";

export function Settings() {
  const { session, admin } = useSession();
  const h = useQuery(health());
  const r = useQuery(ready());
  return (
    <>
      <h1>Settings</h1>
      <div className="pair">
        <section>
          <h2>Server</h2>
          <Loaded of={h} rows={3}>{(d) => (
            <Facts of={[
              ["Version", d.version], ["Up for", duration(d.uptime_seconds * 1000)],
              ["Ready", r.data?.status], ["Leads", r.data && (r.data.is_leader ? "yes" : "no, another coordinator does")],
              ...Object.entries(r.data?.dependencies ?? {}).map(([k, v]): [string, string] => [k.replaceAll("_", " "), String(v)]),
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

/** Configuration shows what this coordinator was started with. */
function Configuration() {
  const c = useQuery(config());
  const [query, setQuery] = useSearchParams();
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
              onChange={(e) => setQuery(e.target.value ? { setting: e.target.value } : {}, { replace: true })}
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
