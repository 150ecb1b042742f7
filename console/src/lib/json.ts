// JSON with every number as it was written. JavaScript's numbers lose digits beyond 2^53.

/** ExactNumber is a number that a JavaScript number cannot hold. */
export class ExactNumber {
  constructor(readonly text: string) {}
}

export type Json = null | boolean | number | string | ExactNumber | Json[] | { [key: string]: Json };

/** parseExact parses JSON. A number that would change is an ExactNumber. It throws SyntaxError. */
export function parseExact(text: string): Json {
  let at = 0;
  const fail = (): never => {
    throw new SyntaxError(`no JSON at position ${at}`);
  };
  const space = () => {
    while (/\s/.test(text[at] ?? "")) at++;
  };
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? fail();
    at += found.length;
    return found;
  };
  const string = () => JSON.parse(take(/"(?:[^"\\]|\\.)*"/y)) as string;
  const value = (): Json => {
    space();
    switch (text[at]) {
      case "{": {
        const out: { [key: string]: Json } = Object.create(null);
        at++;
        for (space(); text[at] !== "}"; ) {
          const key = string();
          space();
          if (text[at++] !== ":") fail();
          out[key] = value();
          space();
          if (text[at] === ",") {
            at++;
            space();
            if (text[at] !== '"') fail();
          } else if (text[at] !== "}") fail();
        }
        at++;
        return out;
      }
      case "[": {
        const out: Json[] = [];
        at++;
        for (space(); text[at] !== "]"; ) {
          out.push(value());
          space();
          if (text[at] === ",") {
            at++;
            space();
            if (text[at] === "]") fail();
          } else if (text[at] !== "]") fail();
        }
        at++;
        return out;
      }
      case '"':
        return string();
      case "t":
      case "f":
      case "n":
        return JSON.parse(take(/true|false|null/y)) as Json;
    }
    const number = take(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y);
    return String(Number(number)) === number ? Number(number) : new ExactNumber(number);
  };
  const out = value();
  space();
  return at === text.length ? out : fail();
}

/** printExact is the inverse of parseExact. */
export function printExact(v: Json, indent = 0, depth = 0): string {
  const gap = indent ? "\n" + " ".repeat(indent * (depth + 1)) : "";
  const end = indent ? "\n" + " ".repeat(indent * depth) : "";
  if (v instanceof ExactNumber) return v.text;
  if (Array.isArray(v)) {
    return v.length ? `[${v.map((x) => gap + printExact(x, indent, depth + 1)).join(",")}${end}]` : "[]";
  }
  if (v && typeof v === "object") {
    const items = Object.entries(v).map(
      ([k, x]) => `${gap}${JSON.stringify(k)}:${indent ? " " : ""}${printExact(x, indent, depth + 1)}`,
    );
    return items.length ? `{${items.join(",")}${end}}` : "{}";
  }
  return JSON.stringify(v);
}
