// The server's clock. Ages and leases are told by it: that of the browser may be wrong.

/** tolerance is the difference that is taken for the way of an answer, in milliseconds. */
const tolerance = 2_000;

let offset = 0;

/** noteServerTime learns the difference of the clocks from the Date header of an answer. */
export function noteServerTime(header: string | null, now = Date.now()) {
  const at = Date.parse(header ?? "");
  if (Number.isNaN(at)) return;
  const difference = at + 500 - now; // the header has whole seconds
  offset = Math.abs(difference) > tolerance ? difference : 0;
}

/** serverTime returns what the server's clock shows at a time of the browser's. */
export const serverTime = (browser = Date.now()) => browser + offset;
