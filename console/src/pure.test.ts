import { describe, expect, test } from "vitest";
import type { AuditEvent, LiveEvent } from "./api/types";
import { escaped, plain } from "./lib/ansi";
import { noteServerTime, serverTime } from "./lib/clock";
import { find, readFilters, selection, writeFilters } from "./lib/filters";
import { clockMillis, duration, compact } from "./lib/format";
import { ExactNumber, parseExact, printExact } from "./lib/json";
import { progressOf } from "./lib/progress";
import { requested, share, uses } from "./lib/resources";
import { patch } from "./lib/rows";
import { eventReader } from "./lib/sse";
import { stuckItems } from "./lib/stuck";
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
      after: "2026-01-02T03:04:00.000Z", before: undefined, order: "priority" as const, text: "é",
    };
    expect(readFilters(new URLSearchParams(writeFilters(f).toString()))).toEqual(f);
  });
  test("have times that are the same for whoever opens the address", () => {
    const local = readFilters(new URLSearchParams("after=2026-01-02T03:04&before=2026-01-02T03:04:00%2B02:00"));
    expect(local.after).toBe(new Date(2026, 0, 2, 3, 4).toISOString()); // as addresses were before
    expect(local.before).toBe("2026-01-02T01:04:00.000Z");
    expect(selection(local)).toEqual({ created_after: local.after, created_before: local.before });
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

describe("progress", () => {
  const at = (type: string, percent: number, details: Partial<AuditEvent["details"]> = {}) =>
    event(type, { generation: 1, worker_id: "w-1", progress_percent: percent, ...details });
  test("rises with the runs, falls where one begins at an older checkpoint, and has no line between them", () => {
    const line = progressOf([
      at("created", 0, { to: "PENDING" }), at("scheduled", 0, { to: "SCHEDULED" }), at("started", 0), at("progress_updated", 10),
      at("progress_updated", 10), at("checkpoint_created", 20), at("progress_updated", 30), at("redistributed", 30, { to: "REDISTRIBUTING" }),
      at("scheduled", 30, { to: "SCHEDULED" }), at("started", 20, { generation: 2, worker_id: "w-2" }), at("completed", 100, { to: "COMPLETED" }),
    ]);
    expect(line.percent).toEqual([0, 10, 20, 30, 30, null, 20, 100, null]);
    expect(line.checkpoints.filter((c) => c !== null)).toEqual([20]);
    expect(line.hops.map((h) => [h.generation, h.worker])).toEqual([[1, "w-1"], [2, "w-2"]]);
    expect(line.at).toEqual([...line.at].sort((a, b) => a - b));
  });
  test("keeps where runs begin and end when there are many points", () => {
    const events = [at("started", 0)];
    for (let i = 0; i < 9_000; i++) events.push(at("progress_updated", i / 100));
    events.push(at("redistributed", 90, { to: "REDISTRIBUTING" }), at("started", 0, { generation: 2 }), at("progress_updated", 1));
    const line = progressOf(events);
    expect(line.at.length).toBeLessThan(2_200);
    expect(line.percent.filter((p) => p === null)).toHaveLength(1);
    for (const h of line.hops) expect(line.at).toContain(h.at);
    expect(line.percent.at(-1)).toBe(1);
  });
  test("of a trail without it is empty", () => {
    expect(progressOf([event("created"), event("started")]).at).toEqual([]);
  });
});

describe("resources", () => {
  test("of a workload are said in words", () => {
    expect(requested({})).toBe("");
    expect(requested({ cpu_cores: 1, memory_mb: 2048, disk_mb: 100, gpus: 0.5, gpu_models: ["A10", "L4"], custom: { licence: 2, none: 0 } }))
      .toBe("1 core, 2 GiB memory, 100 MiB disk, 0.5 of a GPU (A10 or L4), 2 licence");
    expect(requested({ gpus: 2 })).toBe("2 GPUs");
  });
  test("of a worker are summed up by kind and model", () => {
    const offer = { cpu_cores: 8, devices: [{ id: "0", model: "L4" }, { id: "1", model: "A10" }, { id: "2", model: "A10" }], custom: { licence: 3 } };
    const allocated = { cpu_cores: 1.5, devices: [{ id: "1", share: 0.5 }, { id: "2", share: 1 }], custom: { licence: 1 } };
    expect(uses(offer, allocated).map((u) => [u.name, u.used, u.total])).toEqual([["GPU A10", 1.5, 2], ["GPU L4", 0, 1], ["licence", 1, 3], ["Cores", 1.5, 8]]);
    expect(share(allocated, "1")).toBe(0.5);
    expect(share(allocated, "0")).toBe(0);
    expect(uses({})).toEqual([]);
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

test("the time of day has hours, minutes, seconds and milliseconds", () => {
  expect(clockMillis(new Date(2026, 0, 2, 3, 4, 5, 6).getTime())).toBe("03:04:05.006");
});

test("durations have at most two units", () => {
  expect([0, 999, 1500, 61_000, 3_600_000, 90_000_000].map(duration)).toEqual(["0ms", "999ms", "1.5s", "1m 1s", "1h", "1d 1h"]);
});

describe("what programs write", () => {
  test("neither controls a terminal nor reorders text", () => {
    expect(plain("\x1b[31mred\x1b[0m \x1b]0;title\x07a\u202egpj.exe\u2066\u200f")).toBe("red agpj.exe");
  });
  test("shows in JSON what would reorder it, and stays the same JSON", () => {
    const json = JSON.stringify({ a: "invoice\u202egpj.exe" });
    expect(escaped(json)).toBe('{"a":"invoice\\u202egpj.exe"}');
    expect(JSON.parse(escaped(json))).toEqual(JSON.parse(json));
  });
});

describe("the server's clock", () => {
  const now = Date.parse("2026-01-02T03:04:05Z");
  test("is the browser's unless they differ by more than the way of an answer", () => {
    noteServerTime("Fri, 02 Jan 2026 03:04:06 GMT", now);
    expect(serverTime(now)).toBe(now);
    noteServerTime("Fri, 02 Jan 2026 02:04:05 GMT", now);
    expect(serverTime(now)).toBe(now - 3_600_000 + 500);
    noteServerTime(null, now);
    expect(serverTime(now)).toBe(now - 3_600_000 + 500);
    noteServerTime("Fri, 02 Jan 2026 03:04:05 GMT", now);
    expect(serverTime(now)).toBe(now);
  });
});

test("large counts are printed in few characters", () => {
  expect([0, 999, 5000, 10_000, 150_000, 2_500_000].map(compact)).toEqual(["0", "999", "5000", "10K", "150K", "2.5M"]);
});

describe("what no worker can run", () => {
  const of = (workload_type: string, queue_depth?: number, queue_depth_estimated = false) => ({
    workload_type, queue_depth: 100, running_workloads: 0,
    unplaceable: queue_depth ? { queue_depth, queue_depth_estimated, first_workload_id: "wl_1" } : undefined,
  });
  test("is named by type, the most first, and leads to the workload if it is one", () => {
    expect(stuckItems([of("a"), of("b c", 1), of("d&e", 2000, true)])).toEqual([
      ["About 2,000 of type d&e that no worker can run", "/workloads?status=PENDING&status=REDISTRIBUTING&type=d%26e"],
      ["1 of type b c that no worker can run", "/workloads/wl_1"],
    ]);
    expect(stuckItems([of("a")])).toEqual([]);
  });
  test("is summed up for many types", () => {
    const items = stuckItems([1, 2, 3, 4, 5].map((n) => of(`t${n}`, n)));
    expect(items.map(([what]) => what.slice(0, 12))).toEqual(["5 of type t5", "4 of type t4", "3 of type t3", "2 more types"]);
    expect(items[3]).toEqual(["2 more types that no worker can run", "/queues"]);
  });
});
