const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });
const count = new Intl.NumberFormat("en");

const millis = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});

/** clockMillis prints the time of day to the millisecond. */
export const clockMillis = (at: number) => millis.format(at);

/** number prints an integer with separators. */
export const number = (n: number) => count.format(n);

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** compact prints a large number in few characters: 100K. */
export const compact = (n: number) => (n < 10_000 ? String(n) : short.format(n));

/** duration prints milliseconds in at most two units. */
export function duration(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 1) return `${Math.round(s * 1000)}ms`;
  if (s < 10) return `${s.toFixed(1)}s`;
  if (s < 60) return `${Math.floor(s)}s`;
  if (s < 3600) return two(s, 60, "m", 1, "s");
  if (s < 86400) return two(s, 3600, "h", 60, "m");
  return two(s, 86400, "d", 3600, "h");
}

function two(s: number, big: number, bigName: string, small: number, smallName: string): string {
  const rest = Math.floor((s % big) / small);
  return `${Math.floor(s / big)}${bigName}${rest ? ` ${rest}${smallName}` : ""}`;
}

/** ago prints how long ago a time was. */
export function ago(at: number, now: number): string {
  const s = Math.round((at - now) / 1000);
  if (Math.abs(s) < 2) return "now";
  if (Math.abs(s) < 60) return relative.format(s, "second");
  if (Math.abs(s) < 3600) return relative.format(Math.trunc(s / 60), "minute");
  if (Math.abs(s) < 86400) return relative.format(Math.trunc(s / 3600), "hour");
  return relative.format(Math.trunc(s / 86400), "day");
}

/** local prints a time of today as a clock shows it, another one with its day. */
export function local(at: number, now = Date.now()): string {
  const d = new Date(at);
  const today = new Date(now).toDateString() === d.toDateString();
  return today ? clock.format(d) : `${day.format(d)} ${clock.format(d)}`;
}

/** bytes prints a size. */
export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let at = 0;
  for (; n >= 1024 && at < units.length - 1; at++) n /= 1024;
  return `${at && n < 10 ? n.toFixed(1) : Math.round(n)} ${units[at]}`;
}
