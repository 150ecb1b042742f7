interface Numbered {
  seq: number;
}

/** lineLimit is how many lines of a log are kept: as many as the server keeps. */
export const lineLimit = 10_000;

/** joined appends what a stream has brought to lines that were read, each once and in order. */
export function joined<L extends Numbered>(read: L[], streamed: L[]): L[] {
  const last = read.at(-1)?.seq ?? 0;
  const fresh = streamed.filter((l) => l.seq > last);
  return fresh.length ? [...read, ...fresh].slice(-lineLimit) : read;
}

/** torn reports whether lines are missing between those that were read and those that a stream has brought. */
export function torn(read: Numbered[], streamed: Numbered[]): boolean {
  const last = read.at(-1)?.seq ?? 0;
  const first = streamed.find((l) => l.seq > last);
  return first !== undefined && first.seq > last + 1;
}
