import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { checkpointData, checkpoints, inspectLimit, type Exact } from "../../api/queries";
import type { Checkpoint } from "../../api/types";
import { bytes } from "../../lib/format";
import { parseExact, type Json } from "../../lib/json";
import { useSession } from "../../session";
import { Dialog, Empty, Loaded, Scroll, Time } from "../../ui/parts";
import { Tree } from "../../ui/tree";
import { Ask } from "./actions";

/** Checkpoints lists the checkpoints that are kept. Their bytes can be looked at, saved, and run on from. */
export function Checkpoints({ w }: { w: Exact }) {
  const { acts } = useSession();
  const [looked, setLooked] = useState<Checkpoint>();
  const [from, setFrom] = useState<number>();
  const again = acts && (w.status === "FAILED" || w.status === "CANCELLED");
  return (
    <Loaded of={useQuery(checkpoints(w.workload_id))} rows={3}>
      {(list) => (!list.checkpoints.length ? <Empty title="No checkpoints">A run saves them as it goes on. The last 10 are kept.</Empty> : (
        <Scroll label="Checkpoints">
          <table>
            <thead><tr><th className="r">Sequence</th><th className="r">Generation</th><th className="r">Size</th><th>Saved</th><th>SHA-256</th><th /></tr></thead>
            <tbody>
              {list.checkpoints.map((c) => (
                <tr key={c.sequence}>
                  <td className="r num">{c.sequence}</td><td className="r num">{c.generation}</td>
                  <td className="r num">{bytes(c.size_bytes)}</td><td><Time at={c.created_at} /></td>
                  <td className="mono" title={c.checksum}>{c.checksum.slice(0, 16)}</td>
                  <td className="r">
                    {acts && <button className="quiet small" disabled={c.size_bytes > inspectLimit} title={c.size_bytes > inspectLimit ? "Too large to be shown: download it" : undefined} onClick={() => setLooked(c)}>Inspect</button>}
                    {acts && <a className="button quiet small" href={`/v1/workloads/${w.workload_id}/checkpoints/${c.sequence}?data=true`} download={`${w.workload_id}-checkpoint-${c.sequence}`}>Download</a>}
                    {again && <button className="quiet small" onClick={() => setFrom(c.sequence)}>Resume from here</button>}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {acts && !again && <p className="muted">A workload that failed or was cancelled can be resumed from any of them.</p>}
          {looked && <Inspect w={w} c={looked} onClose={() => setLooked(undefined)} />}
          {from !== undefined && <Ask w={w} action="retry" from={from} onClose={() => setFrom(undefined)} />}
        </Scroll>
      ))}
    </Loaded>
  );
}

/** Inspect shows what a checkpoint holds: JSON as a tree, text as it is, other bytes in hexadecimal. */
function Inspect({ w, c, onClose }: { w: Exact; c: Checkpoint; onClose: () => void }) {
  return (
    <Dialog title={`Checkpoint ${c.sequence}`} onClose={onClose} wide>
      <Loaded of={useQuery(checkpointData(w.workload_id, c.sequence))} rows={4}>
        {(data) => {
          const text = textOf(data);
          const json = text === undefined ? undefined : jsonOf(text);
          return json !== undefined ? <Tree value={json} name={`${w.workload_id}-checkpoint-${c.sequence}`} />
            : <pre className="bytes">{text ?? hex(data)}</pre>;
        }}
      </Loaded>
      <div className="buttons"><button onClick={onClose}>Close</button></div>
    </Dialog>
  );
}

function textOf(data: ArrayBuffer): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(data);
  } catch {
    return undefined;
  }
}

function jsonOf(text: string): Json | undefined {
  try {
    return parseExact(text);
  } catch {
    return undefined;
  }
}

/** hex prints 16 bytes a line behind their position. */
function hex(data: ArrayBuffer): string {
  const bytes = new Uint8Array(data);
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = Array.from(bytes.subarray(at, at + 16), (b) => b.toString(16).padStart(2, "0")).join(" ");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${row}`);
  }
  return lines.join("\n");
}
