import { plain } from "../../lib/ansi";
import { duration, local } from "../../lib/format";
import { ticks, type Attempt } from "../../lib/timeline";
import { State, useNow } from "../../ui/parts";
import { put, useAddress } from "../../ui/address";

const names = { waiting: "waiting", placing: "given to the worker", running: "running", paused: "paused" };

/** Timeline shows the life of a workload: a row for each time that a worker held it. */
export function Timeline({ attempts, over }: { attempts: Attempt[]; over: boolean }) {
  const now = useNow();
  const [query, change] = useAddress();
  const chosen = Number(query.get("generation") ?? 0);
  const begin = attempts[0]?.segments[0]?.from;
  if (begin === undefined) return <p className="muted">Its events are no longer kept.</p>;
  const ends = attempts.flatMap((a) => [a.end?.at ?? 0, ...a.segments.map((s) => s.to ?? s.from), ...a.marks.map((m) => m.at)]);
  const end = Math.max(...ends, over ? 0 : now, begin + 1000);
  const span = end - begin;
  const at = (ms: number) => `${(100 * Math.max(0, Math.min(span, ms - begin))) / span}%`;
  const choose = (generation: number) =>
    change(put("generation", !generation || generation === chosen ? undefined : String(generation)));
  return (
    <div className="gantt">
      <div className="axis" aria-hidden="true">
        <span className="corner" />
        <span className="track">
          {ticks(span, 6).map((t) => (
            <span key={t} className="tick num" style={{ left: at(begin + t) }}>{t ? `+${duration(t)}` : local(begin)}</span>
          ))}
        </span>
      </div>
      <ol>
        {attempts.map((a, i) => (
          <li key={i} className={chosen && chosen !== a.generation ? "dim" : ""}>
            <button
              className="who" onClick={() => choose(a.generation)} aria-pressed={!!chosen && chosen === a.generation}
              disabled={!a.generation} title={a.generation ? "Show only the log of this attempt" : undefined}
            >
              {a.generation ? <><span className="num muted">g{a.generation}</span> {a.worker}</> : <span className="muted">no worker yet</span>}
            </button>
            <span className="track">
              {a.segments.map((s, n) => {
                const to = s.to ?? (a.end?.at ?? end);
                const what = `${names[s.kind]}${s.kind === "waiting" ? "" : ` on ${a.worker}`}, ${duration(to - s.from)}, from ${local(s.from)}`;
                return (
                  <span
                    key={n} role="img" aria-label={what} title={what}
                    className={`seg ${s.kind} ${s.kind === "running" && a.end ? `ended-${a.end.kind.toLowerCase()}` : ""}`}
                    style={{ left: at(s.from), width: `calc(${(100 * (to - s.from)) / span}% )` }}
                  />
                );
              })}
              {thin(a.marks, span).map((m, n) => {
                const what = `${named(m)} at ${local(m.at)}`;
                return <span key={n} role="img" aria-label={what} title={what} className={`mk ${m.kind}`} style={{ left: at(m.at) }} />;
              })}
              {a.end && a.end.kind !== "COMPLETED" && (
                <span role="img" aria-label={ending(a)} title={ending(a)} className={`stop ${a.end.kind.toLowerCase()}`} style={{ left: at(a.end.at) }} />
              )}
            </span>
            <span className="what">{a.end ? <End a={a} /> : over ? null : <span className="muted">now</span>}</span>
          </li>
        ))}
      </ol>
      <p className="legend muted" aria-hidden="true">
        <i className="seg waiting" /> waiting <i className="seg placing" /> starting <i className="seg running" /> running
        <i className="seg paused" /> paused <i className="mk checkpoint" /> checkpoint
        {attempts.some((a) => a.marks.some((m) => m.kind === "skipped")) && <><i className="mk skipped" /> a checkpoint that cannot be read</>}
        {attempts.some((a) => a.marks.some((m) => m.kind === "unplaceable")) && <><i className="mk unplaceable" /> no worker can run it</>}
      </p>
    </div>
  );
}

function named(m: Attempt["marks"][number]): string {
  if (m.kind !== "skipped") return m.kind + (m.sequence ? ` ${m.sequence}` : "");
  return `the newest checkpoint cannot be read: ${m.sequence ? `continued from ${m.sequence}` : "begun anew"}`;
}

/** thin leaves out marks that would lie on one another. */
function thin(marks: Attempt["marks"], span: number): Attempt["marks"] {
  let last = -Infinity;
  return marks.filter((m) => {
    if (m.kind === "checkpoint" && m.at - last < span / 200) return false;
    last = m.at;
    return true;
  });
}

const words: Record<NonNullable<Attempt["end"]>["kind"], string> = {
  REDISTRIBUTING: "lost", DECLINED: "declined", RELEASED: "given back", RETRYING: "failed, retried", PAUSED: "paused",
  COMPLETED: "completed", FAILED: "failed", CANCELLED: "cancelled", PENDING: "waits", SCHEDULED: "scheduled", RUNNING: "runs",
};

const ending = (a: Attempt) => (a.end ? `${words[a.end.kind]} at ${local(a.end.at)}${a.end.reason ? `: ${plain(a.end.reason)}` : ""}` : "");

function End({ a }: { a: Attempt }) {
  if (!a.end) return null;
  const state = a.end.kind === "RETRYING" ? "FAILED" : a.end.kind === "DECLINED" || a.end.kind === "RELEASED" ? "PENDING" : a.end.kind;
  return <span title={ending(a)}><State of={state}>{words[a.end.kind]}</State> <span className="muted">{plain(a.end.reason)}</span></span>;
}
