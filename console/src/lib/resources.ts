import type { AllocatedResources, Resources, WorkerResources } from "../api/types";
import { number } from "./format";

/** megabytes prints a number of MB. */
export const megabytes = (mb: number) => (mb >= 1024 && mb % 1024 === 0 ? `${number(mb / 1024)} GiB` : `${number(mb)} MiB`);

const amount = (n: number) => number(Math.round(n * 100) / 100);

/** requested says what a workload reserves; "": nothing. */
export function requested(r: Resources): string {
  const parts: string[] = [];
  if (r.cpu_cores) parts.push(`${amount(r.cpu_cores)} ${r.cpu_cores === 1 ? "core" : "cores"}`);
  if (r.memory_mb) parts.push(`${megabytes(r.memory_mb)} memory`);
  if (r.disk_mb) parts.push(`${megabytes(r.disk_mb)} disk`);
  if (r.gpus) {
    const models = r.gpu_models?.length ? ` (${r.gpu_models.join(" or ")})` : "";
    parts.push(`${r.gpus < 1 ? `${amount(r.gpus)} of a GPU` : `${amount(r.gpus)} ${r.gpus === 1 ? "GPU" : "GPUs"}`}${models}`);
  }
  for (const [name, n] of Object.entries(r.custom ?? {})) if (n) parts.push(`${number(n)} ${name}`);
  return parts.join(", ");
}

/** Use is how much of one kind of resource of a worker is allocated. */
export interface Use {
  name: string;
  used: number;
  total: number;
  /** show prints an amount of it. */
  show: (n: number) => string;
}

const gpus = (n: number) => amount(n);

/** uses lists what a worker offers and how much of it is allocated, the scarcest first: devices by their model. */
export function uses(offer: WorkerResources, allocated: AllocatedResources = {}): Use[] {
  const list: Use[] = [];
  const models = new Map<string, Use>();
  for (const d of offer.devices ?? []) {
    const name = d.model ? `GPU ${d.model}` : "GPU";
    const of = models.get(name) ?? { name, used: 0, total: 0, show: gpus };
    of.total++;
    of.used += share(allocated, d.id);
    models.set(name, of);
  }
  list.push(...[...models.values()].sort((a, b) => a.name.localeCompare(b.name)));
  for (const [name, total] of Object.entries(offer.custom ?? {})) {
    list.push({ name, used: allocated.custom?.[name] ?? 0, total, show: number });
  }
  if (offer.cpu_cores) list.push({ name: "Cores", used: allocated.cpu_cores ?? 0, total: offer.cpu_cores, show: amount });
  if (offer.memory_mb) list.push({ name: "Memory", used: allocated.memory_mb ?? 0, total: offer.memory_mb, show: megabytes });
  if (offer.disk_mb) list.push({ name: "Disk", used: allocated.disk_mb ?? 0, total: offer.disk_mb, show: megabytes });
  return list;
}

/** share is how much of a device is allocated: 0 to 1. */
export const share = (allocated: AllocatedResources, id: string) =>
  allocated.devices?.find((d) => d.id === id)?.share ?? 0;
