/** Numbered is a line of a log: lines have consecutive numbers from 1 on. */
interface Numbered {
  seq: number;
}

/** Gap stands for lines that nobody can read any more. */
export interface Gap {
  /** missing is how many there are, before the line with the number. */
  missing: number;
  before: number;
}

export const isGap = (l: Numbered | Gap): l is Gap => "missing" in l;

/**
 * withGaps puts a gap where lines are missing. has_more says whether what is missing before the first one
 * can still be read. Of the lines, only those that match are kept; gaps stay, as what is missing might
 * have matched.
 */
export function withGaps<L extends Numbered>(lines: L[], hasMore: boolean, matches: (l: L) => boolean): (L | Gap)[] {
  const out: (L | Gap)[] = [];
  let last = hasMore ? undefined : 0;
  for (const l of lines) {
    if (last !== undefined && l.seq > last + 1) out.push({ missing: l.seq - last - 1, before: l.seq });
    last = l.seq;
    if (matches(l)) out.push(l);
  }
  return out;
}
