import { ExactNumber, printExact, type Json } from "./json";

export type Format = "csv" | "ndjson";

export type Row = { [column: string]: Json };

/** exportLimit is how many rows an export reads at most. */
export const exportLimit = 10_000;

/** lines prints rows, each one on a line. In CSV the first line has the names of the columns. */
export function lines(rows: Row[], format: Format, columns: readonly string[]): string {
  if (format === "ndjson") return rows.map((r) => printExact(r) + "\n").join("");
  return [columns.map((c) => cell(c)), ...rows.map((r) => columns.map((c) => cell(r[c] ?? null)))]
    .map((cells) => cells.join(",") + "\r\n").join("");
}

/** cell prints a value for CSV. A text that a spreadsheet would take for a formula gets a quote before it. */
function cell(v: Json): string {
  if (v === null) return "";
  if (typeof v === "number" || typeof v === "boolean" || v instanceof ExactNumber) return printExact(v);
  let text = typeof v === "string" ? v : Object.keys(v).length ? printExact(v) : "";
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export interface Pages {
  rows: Row[];
  next?: string;
}

/** Exported is what readAll has read. more reports whether the limit left rows out. */
export interface Exported {
  rows: Row[];
  more: boolean;
}

/** readAll reads pages until there are no more, or the limit is reached. */
export async function readAll(
  page: (cursor: string | undefined) => Promise<Pages>, on: (read: number) => void, limit = exportLimit,
): Promise<Exported> {
  const rows: Row[] = [];
  for (let cursor: string | undefined; ; ) {
    const p = await page(cursor);
    rows.push(...p.rows);
    cursor = p.next;
    on(Math.min(rows.length, limit));
    if (rows.length > limit || (rows.length === limit && cursor)) return { rows: rows.slice(0, limit), more: true };
    if (!cursor) return { rows, more: false };
  }
}
