import { useQuery } from "@tanstack/react-query";
import { health, ready } from "../api/queries";
import { duration } from "../lib/format";
import { useSession } from "../session";
import { Facts, Failure, Loading, Time } from "../ui/parts";

export function Settings() {
  const { session } = useSession();
  const h = useQuery(health());
  const r = useQuery(ready());
  return (
    <>
      <h1>Settings</h1>
      <div className="pair">
        <section>
          <h2>Server</h2>
          {h.isPending ? <Loading rows={3} /> : h.isError ? <Failure error={h.error} retry={() => void h.refetch()} /> : (
            <Facts of={[
              ["Version", h.data.version], ["Up for", duration(h.data.uptime_seconds * 1000)],
              ["Ready", r.data?.status], ["Leads", r.data && (r.data.is_leader ? "yes" : "no, another coordinator does")],
              ...Object.entries(r.data?.dependencies ?? {}).map(([k, v]): [string, string] => [k.replaceAll("_", " "), String(v)]),
            ]} />
          )}
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
    </>
  );
}
