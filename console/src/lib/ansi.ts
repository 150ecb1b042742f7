// Terminal sequences: colours and cursor movements, titles, and single control characters.
const sequences =
  // eslint-disable-next-line no-control-regex
  /\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]/g;

// Characters that reorder the text around them, so that it reads as something else.
const reordering = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** escaped returns JSON with what reorders text written as the sequence that stands for it. */
export const escaped = (json: string) => json.replace(reordering, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** plain returns text that a program wrote without what controls terminals or reorders other text. */
export const plain = (text: string) => text.replace(sequences, "").replace(reordering, "");
