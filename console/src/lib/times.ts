// Times of the API, and as fields of a form have them: those are local, to the minute or second, and name no zone.

/** fieldOf returns a time as a field has it; "" for none. */
export function fieldOf(time?: string | null): string {
  const t = new Date(time ?? "");
  if (Number.isNaN(t.getTime())) return "";
  const two = (n: number) => String(n).padStart(2, "0");
  const date = `${String(t.getFullYear()).padStart(4, "0")}-${two(t.getMonth() + 1)}-${two(t.getDate())}`;
  return `${date}T${two(t.getHours())}:${two(t.getMinutes())}${t.getSeconds() ? `:${two(t.getSeconds())}` : ""}`;
}

/** timeOf returns what a field has as a time of the API; undefined for none. */
export function timeOf(field?: string | null): string | undefined {
  const at = Date.parse(field ?? "");
  return Number.isNaN(at) ? undefined : new Date(at).toISOString();
}

/** behind returns the first time, in milliseconds, that is after another. */
export const behind = (time: string) => new Date(Date.parse(time) + 1).toISOString();

/** afterSameLife returns when a key expires that takes the place of another at a time: it lives as long. */
export function afterSameLife(old: { created_at: string; expires_at?: string | null }, now: number): string | undefined {
  if (!old.expires_at) return undefined;
  return new Date(now + Date.parse(old.expires_at) - Date.parse(old.created_at)).toISOString();
}
