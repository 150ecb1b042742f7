import { describe, expect, test } from "vitest";
import type { AuditEvent, LiveEvent } from "./api/types";
import { plain } from "./lib/ansi";
import { find, readFilters, selection, writeFilters } from "./lib/filters";
import { duration } from "./lib/format";
import { ExactNumber, parseExact, printExact } from "./lib/json";
import { patch } from "./lib/rows";
import { eventReader } from "./lib/sse";
import { attempts, ticks } from "./lib/timeline";

describe("JSON", () => {
  test("keeps every digit of numbers that JavaScript would round", () => {
    const text = '{"id":9007199254740993,"price":1.10,"n":-0,"big":1e400,"a":[12345678901234567890]}';
    expect(printExact(parseExact(text))).toBe(text);
    expect(parseExact("9007199254740993")).toBeInstanceOf(ExactNumber);
    expect(parseExact("42")).toBe(42);
  });
  test("agrees with the built-in parser on everything else", () => {
    for (const text of ['{}', '[]', '[1,{"a":[]},null,true,false,"\\u00e9\\n\\"]{"]', '{"__proto__":1,"a":{"b":[1,2]}}', ' [ 1 , 2 ] ']) {
      expect(JSON.parse(printExact(parseExact(text)))).toEqual(JSON.parse(text));
      expect(printExact(parseExact(text), 2)).toBe(JSON.stringify(JSON.parse(text), null, 2));
    }
  });
  test.each(["", "{", "[1,]", '{"a":1,}', "01", "nul", '{"a" 1}', "[1] 2", "'a'", '{a:1}'])("refuses %s", (text) => {
    expect(() => parseExact(text)).toThrow(SyntaxError);
  });
});

describe("server-sent events", () => {
  test("are read whole however the stream is cut", () => {
    const text = 'retry: 1000\n\nid: a\nevent: x\ndata: {"n":1}\n\n:\n\nid: b\r\ndata: one\r\ndata: two\r\n\r\n';
    for (let size = 1; size <= text.length; size++) {
      const seen: unknown[] = [];
      const feed = eventReader((e) => seen.push(e));
      for (let at = 0; at < text.length; at += size) feed(text.slice(at, at + size));
      expect(seen).toEqual([{ id: "a", data: '{"n":1}' }, { id: "b", data: "one\ntwo" }]);
    }
  });
});

describe("terminal sequences", () => {
  test("are taken out of log lines", () => {
    expect(plain("\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain\r\x08\ttab")).toBe("red plain\ttab");
    expect(plain("<script>[31m")).toBe("<script>[31m");
  });
});

describe("filters", () => {
  test("survive the way through the address", () => {
    const f = {
      status: ["FAILED" as const, "PAUSED" as const], label: ["team=a b", "x=1&2"], type: "re port", customer: "cust_a",
      after: "2026-01-02T03:04", before: undefined, order: "priority" as const, text: "é",
    };
    expect(readFilters(new URLSearchParams(writeFilters(f).toString()))).toEqual(f);
  });
  test("are the same in the list and in batch operations, and leave out what is no filter", () => {
    const f = readFilters(new URLSearchParams("status=FAILED&status=NONE&label=bad&q=x&after=never&order=up"));
    expect(selection(f)).toEqual({ status: ["FAILED"] });
    expect(f.order).toBe("created_at");
  });
  test("tell ids, labels and text apart", () => {
    expect(find(" wl_06h1lgm0utuonetshh3b1mna64 ")).toEqual({ id: "wl_06h1lgm0utuonetshh3b1mna64" });
    expect(find("team=billing")).toEqual({ label: "team=billing" });
    expect(find("billing")).toEqual({ text: "billing" });
  });
});

let second = 0;
const event = (type: string, details: Partial<AuditEvent["details"]> = {}): AuditEvent => ({
  event_id: ++second, event_type: `workload.${type}` as AuditEvent["event_type"], workload_id: "wl_a",
  timestamp: new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString(), actor_type: "worker", actor_id: "w",
  details: { to: "RUNNING", generation: 0, ...details },
});

describe("timeline", () => {
  test("has a row for each worker, with what ended it and the waiting between", () => {
    const rows = attempts([
      event("created"), event("scheduled", { generation: 1, worker_id: "w-1" }), event("started", { generation: 1, worker_id: "w-1" }),
      event("checkpoint_created", { generation: 1, checkpoint_sequence: 1 }), event("redistributed", { generation: 1, reason: "worker lost" }),
      event("scheduled", { generation: 2, worker_id: "w-2" }), event("started", { generation: 2, worker_id: "w-2" }),
      event("pause_requested"), event("paused"), event("resumed"),
      event("scheduled", { generation: 3, worker_id: "w-1" }), event("started", { generation: 3, worker_id: "w-1" }), event("completed"),
    ]);
    expect(rows.map((r) => [r.generation, r.worker, r.end?.kind, r.segments.map((s) => s.kind).join()])).toEqual([
      [1, "w-1", "REDISTRIBUTING", "waiting,placing,running"],
      [2, "w-2", "PAUSED", "waiting,placing,running,paused"],
      [3, "w-1", "COMPLETED", "waiting,placing,running"],
    ]);
    expect(rows[0]?.marks).toMatchObject([{ kind: "checkpoint", sequence: 1 }]);
    expect(rows[0]?.end?.reason).toBe("worker lost");
    const all = rows.flatMap((r) => r.segments);
    for (const [i, s] of all.entries()) if (i) expect(s.from).toBe(all[i - 1]?.to); // no gap and no overlap
    expect(all.at(-1)?.to).toBe(rows.at(-1)?.end?.at);
  });
  test("leaves open what goes on", () => {
    const rows = attempts([event("created"), event("scheduled", { generation: 1, worker_id: "w" }), event("declined"), event("unplaceable")]);
    expect(rows).toHaveLength(2);
    expect(rows[1]).toMatchObject({ generation: 0, segments: [{ kind: "waiting" }], marks: [{ kind: "unplaceable" }] });
    expect(rows[1]?.segments[0]?.to).toBeUndefined();
  });
  test("has few round ticks for every span", () => {
    for (const span of [1000, 59_000, 3_600_000, 86_400_000 * 30, 86_400_000 * 400]) {
      expect(ticks(span, 6).length).toBeLessThanOrEqual(7);
      expect(ticks(span, 6).length).toBeGreaterThanOrEqual(1);
    }
  });
});

describe("rows", () => {
  const row = { status: "RUNNING" as const, generation: 1, updated_at: "2026-01-01T00:00:10.000Z", worker_id: "w-1" as string | null };
  test("follow events", () => {
    const e = { type: "status_update", event_id: "", workload_id: "wl_a", status: "REDISTRIBUTING", timestamp: "2026-01-01T00:00:11.000Z" } as LiveEvent;
    expect(patch(row, e)).toMatchObject({ status: "REDISTRIBUTING", worker_id: null });
  });
  test("do not go back to what an older event says", () => {
    const e = { type: "status_update", event_id: "", workload_id: "wl_a", status: "SCHEDULED", timestamp: "2026-01-01T00:00:09.000Z" } as LiveEvent;
    expect(patch(row, e)).toBe(row);
  });
});

test("durations have at most two units", () => {
  expect([0, 999, 1500, 61_000, 3_600_000, 90_000_000].map(duration)).toEqual(["0ms", "999ms", "1.5s", "1m 1s", "1h", "1d 1h"]);
});
