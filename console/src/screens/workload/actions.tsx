import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { api, must } from "../../api/client";
import { checkpoints, workload, type Exact } from "../../api/queries";
import { isFinal } from "../../api/types";
import { bytes } from "../../lib/format";
import { Once } from "../../lib/once";
import { useSession } from "../../session";
import { Dialog, Failure } from "../../ui/parts";

type Action = "cancel" | "pause" | "resume" | "retry";

/** Actions are what may be done to a workload in its state. Viewers have none. */
export function Actions({ w }: { w: Exact }) {
  const { acts } = useSession();
  const [action, setAction] = useState<Action>();
  if (!acts) return null;
  const can: Action[] = [];
  if (w.status === "PAUSED") can.push("resume");
  else if (!isFinal(w.status)) can.push("pause");
  if (w.status === "FAILED" || w.status === "CANCELLED") can.push("retry");
  if (!isFinal(w.status)) can.push("cancel");
  return (
    <span className="actions">
      {can.map((a) => (
        <button key={a} className={a === "cancel" ? "danger" : ""} onClick={() => setAction(a)}>
          {a.charAt(0).toUpperCase() + a.slice(1)}
        </button>
      ))}
      {action && <Ask w={w} action={action} onClose={() => setAction(undefined)} />}
    </span>
  );
}

const asks: Record<Action, string> = {
  cancel: "It ends at once and cannot go on. What it has done since its last checkpoint is lost.",
  pause: "Its worker saves a checkpoint and stops it. It keeps its place with that checkpoint until it is resumed.",
  resume: "It waits for a worker again and goes on from its last checkpoint.",
  retry: "A new workload runs the same input again.",
};

/** retries are those without an answer. One that is asked for again, in another dialog too, makes no second workload. */
const retries = new Once();

/** Ask asks before it acts. from is the checkpoint that a retry is asked to go on from. */
export function Ask({ w, action, from, onClose }: { w: Exact; action: Action; from?: number; onClose: () => void }) {
  const client = useQueryClient();
  const go = useNavigate();
  const [reason, setReason] = useState("");
  // start is the checkpoint that a retry goes on from; "": the newest, "0": none.
  const [start, setStart] = useState(from === undefined ? "" : String(from));
  const kept = useQuery({ ...checkpoints(w.workload_id), enabled: action === "retry" });
  const run = useMutation({
    mutationFn: async (): Promise<string | undefined> => {
      const o = { params: { path: { id: w.workload_id } }, body: reason ? { reason } : {} };
      switch (action) {
        case "cancel": await must(api.POST("/v1/workloads/{id}/cancel", o)); return undefined;
        case "pause": await must(api.POST("/v1/workloads/{id}/pause", o)); return undefined;
        case "resume": await must(api.POST("/v1/workloads/{id}/resume", o)); return undefined;
        case "retry": {
          const body = start === "" ? {} : start === "0" ? { from_scratch: true } : { from_checkpoint: Number(start) };
          const request = `${w.workload_id} ${JSON.stringify(body)}`;
          const params = { ...o.params, header: { "Idempotency-Key": retries.keyFor(request) } };
          const { workload_id: made } = await must(api.POST("/v1/workloads/{id}/retry", { params, body }));
          retries.answered(request);
          return made;
        }
      }
    },
    onSuccess: (made) => {
      void client.invalidateQueries({ queryKey: workload(w.workload_id).queryKey });
      onClose();
      if (made) void go(`/workloads/${made}`);
    },
  });
  return (
    <Dialog title={`${action.charAt(0).toUpperCase()}${action.slice(1)} ${w.workload_type}?`} onClose={onClose}>
      <p className="mono">{w.workload_id}</p>
      <p>{asks[action]}</p>
      {action === "retry" ? (
        <label className="wide"><span>It goes on from</span>
          <select value={start} onChange={(e) => setStart(e.target.value)}>
            <option value="">{w.checkpoint_sequence ? `the newest checkpoint, ${w.checkpoint_sequence}` : "the beginning: there is no checkpoint"}</option>
            {kept.data?.checkpoints.map((c) => (
              <option key={c.sequence} value={c.sequence}>checkpoint {c.sequence}, {bytes(c.size_bytes)}, of generation {c.generation}</option>
            ))}
            {w.checkpoint_sequence > 0 && <option value="0">the beginning</option>}
          </select>
        </label>
      ) : (
        <label className="wide"><span>Reason, kept in the audit trail</span>
          <input value={reason} maxLength={500} onChange={(e) => setReason(e.target.value)} />
        </label>
      )}
      {run.isError && <Failure error={run.error} />}
      <div className="buttons">
        <button onClick={onClose}>Leave it</button>
        <button className={action === "cancel" ? "danger" : "primary"} disabled={run.isPending} onClick={() => run.mutate()}>
          {run.isPending ? "Working" : action === "cancel" ? "Cancel the workload" : action.charAt(0).toUpperCase() + action.slice(1)}
        </button>
      </div>
    </Dialog>
  );
}
