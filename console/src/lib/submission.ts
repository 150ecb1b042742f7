import { parseExact, printExact, type Json } from "./json";

/** Form is what was typed into the form of a submission. */
export interface Form {
  type: string;
  input: string;
  priority: string;
  labels: string;
  timeout: string;
  cores: string;
  memory: string;
  disk: string;
  gpus: string;
  models: string;
}

export const emptyForm: Form = {
  type: "", input: "{}", priority: "", labels: "", timeout: "", cores: "", memory: "", disk: "", gpus: "", models: "",
};

/** Problem says which field cannot be sent, and why. */
export class Problem extends Error {
  constructor(readonly field: keyof Form, message: string) {
    super(message);
  }
}

/** submission returns the body of POST /v1/workloads, every number as it was typed. It throws Problem. */
export function submission(f: Form): string {
  const body: { [name: string]: Json } = {};
  body.workload_type = f.type.trim();
  if (!body.workload_type) throw new Problem("type", "Name the type.");
  body.input_params = object(f.input);
  const set = (to: { [name: string]: Json }, name: string, field: keyof Form, whole: boolean) => {
    const text = f[field].trim();
    if (!text) return;
    if (!(whole ? /^\d+$/ : /^\d+(\.\d+)?$/).test(text)) {
      throw new Problem(field, whole ? "Write a whole number." : "Write a number, such as 0.5.");
    }
    to[name] = Number(text);
  };
  set(body, "priority", "priority", true);
  set(body, "timeout_seconds", "timeout", true);
  const labels: { [name: string]: Json } = {};
  for (const l of f.labels.split(/[\s,]+/).filter(Boolean)) {
    const cut = l.indexOf("=");
    if (cut < 1) throw new Problem("labels", "Write labels as key=value, with spaces or commas between them.");
    labels[l.slice(0, cut)] = l.slice(cut + 1);
  }
  if (Object.keys(labels).length) body.labels = labels;
  const resources: { [name: string]: Json } = {};
  set(resources, "cpu_cores", "cores", false);
  set(resources, "memory_mb", "memory", true);
  set(resources, "disk_mb", "disk", true);
  set(resources, "gpus", "gpus", false);
  const models = f.models.split(",").map((m) => m.trim()).filter(Boolean);
  if (models.length && !f.gpus.trim()) throw new Problem("gpus", "Say how many GPUs of these models.");
  if (models.length) resources.gpu_models = models;
  if (Object.keys(resources).length) body.resources = resources;
  return printExact(body);
}

function object(text: string): Json {
  let v: Json;
  try {
    v = parseExact(text.trim() || "{}");
  } catch (e) {
    throw new Problem("input", e instanceof Error ? e.message : "no JSON");
  }
  if (v === null || typeof v !== "object" || Array.isArray(v) || printExact(v)[0] !== "{") {
    throw new Problem("input", "The input is a JSON object, such as {\"n\": 1}.");
  }
  return v;
}
