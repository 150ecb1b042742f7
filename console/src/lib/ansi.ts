// Terminal sequences: colours and cursor movements, titles, and single control characters.
const sequences =
  // eslint-disable-next-line no-control-regex
  /\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]/g;

/** plain returns a line of a log without the sequences that steer terminals. */
export const plain = (line: string) => line.replace(sequences, "");
