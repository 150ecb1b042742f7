import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { api, must } from "../api/client";
import { Once } from "../lib/once";
import { emptyForm, Problem, submission, type Form } from "../lib/submission";
import { Dialog, Failure } from "../ui/parts";

/** Submit submits a workload with what it needs, and leads to its page. */
export function Submit() {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button className="primary" onClick={() => setOpen(true)}>Submit</button>
      {open && <SubmitDialog onClose={() => setOpen(false)} />}
    </>
  );
}

interface Input {
  name: keyof Form;
  label: string;
  hint?: string;
}

const basics: Input[] = [
  { name: "priority", label: "Priority", hint: "10" }, { name: "timeout", label: "Timeout of a run, seconds", hint: "3600" },
];
const needs: Input[] = [
  { name: "cores", label: "Cores", hint: "0.5" }, { name: "memory", label: "Memory, MiB", hint: "2048" },
  { name: "disk", label: "Disk, MiB" }, { name: "gpus", label: "GPUs, or a share of one", hint: "0.5" },
  { name: "models", label: "GPU models", hint: "A10, L4" },
];

function SubmitDialog({ onClose }: { onClose: () => void }) {
  const go = useNavigate();
  const [form, setForm] = useState(emptyForm);
  // A submission that is sent again, because its answer was lost, is not another workload.
  const [once] = useState(() => new Once());
  const run = useMutation({
    mutationFn: (body: string) => must(api.POST("/v1/workloads", {
      // The body is text already: its numbers keep their digits.
      body: body as never, bodySerializer: (b: unknown) => b as string, headers: { "Content-Type": "application/json" },
      params: { header: { "Idempotency-Key": once.keyFor(body) } },
    })),
    onSuccess: (made) => {
      onClose();
      void go(`/workloads/${made.workload_id}`);
    },
  });
  const [problem, setProblem] = useState<Problem>();
  const send = () => {
    try {
      setProblem(undefined);
      run.mutate(submission(form));
    } catch (e) {
      if (!(e instanceof Problem)) throw e;
      setProblem(e);
    }
  };
  const input = ({ name, label, hint }: Input) => (
    <label key={name}>
      <span>{label}</span>
      <input
        value={form[name]} placeholder={hint} spellCheck={false} aria-invalid={problem?.field === name}
        aria-describedby={problem?.field === name ? "problem" : undefined}
        onChange={(e) => setForm({ ...form, [name]: e.target.value })}
      />
    </label>
  );
  return (
    <Dialog title="Submit a workload" onClose={onClose}>
      <form className="submit" onSubmit={(e) => { e.preventDefault(); send(); }}>
        {input({ name: "type", label: "Type", hint: "sleep" })}
        <label>
          <span>Input, a JSON object</span>
          <textarea
            rows={5} value={form.input} spellCheck={false} aria-invalid={problem?.field === "input"}
            aria-describedby={problem?.field === "input" ? "problem" : undefined}
            onChange={(e) => setForm({ ...form, input: e.target.value })}
          />
        </label>
        {input({ name: "labels", label: "Labels", hint: "team=billing month=2026-07" })}
        <div className="fields">{basics.map(input)}</div>
        <fieldset>
          <legend>Reserved on its worker. Empty: what the configuration of its type says.</legend>
          <div className="fields">{needs.map(input)}</div>
        </fieldset>
        {problem && <p id="problem" className="error" role="alert">{problem.message}</p>}
        {run.isError && <Failure error={run.error} />}
        <div className="buttons">
          <button type="button" onClick={onClose}>Leave it</button>
          <button className="primary" disabled={run.isPending}>{run.isPending ? "Working" : "Submit"}</button>
        </div>
      </form>
    </Dialog>
  );
}
