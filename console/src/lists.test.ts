import { describe, expect, test } from "vitest";
import { exportLimit, lines, readAll } from "./lib/export";
import { withGaps } from "./lib/gaps";
import { hasText, ordering, readFilters, writeFilters } from "./lib/filters";
import { parseExact, printExact } from "./lib/json";
import { idEntries, matching, searchEntries, type Entry } from "./lib/palette";
import { emptyForm, Problem, submission } from "./lib/submission";
import { parseViews, samePath, withView } from "./lib/views";

describe("gaps", () => {
  const lines = (...seqs: number[]) => seqs.map((seq) => ({ seq }));
  const all = () => true;
  test("stand where lines are missing", () => {
    expect(withGaps(lines(1, 2, 5, 6), false, all)).toEqual([...lines(1, 2), { missing: 2, before: 5 }, ...lines(5, 6)]);
    expect(withGaps(lines(1, 2, 3), false, all)).toEqual(lines(1, 2, 3));
    expect(withGaps([], false, all)).toEqual([]);
  });
  test("stand before the first line only if nothing before it can be read", () => {
    expect(withGaps(lines(11, 12), false, all)).toEqual([{ missing: 10, before: 11 }, ...lines(11, 12)]);
    expect(withGaps(lines(11, 12), true, all)).toEqual(lines(11, 12));
  });
  test("stay when the lines around them do not match", () => {
    expect(withGaps(lines(1, 5, 6), false, (l) => l.seq === 6)).toEqual([{ missing: 3, before: 5 }, ...lines(6)]);
  });
});

describe("export", () => {
  const rows = parseExact(
    '[{"id":"wl_a","n":9007199254740993,"labels":{"team":"a, \\"b\\""},"note":"=HYPERLINK(1)"},{"id":"wl_b","labels":{},"note":"two\\nlines","n":null}]',
  ) as Record<string, never>[];
  test("as CSV quotes what needs it, keeps every digit, and makes no formulas", () => {
    expect(lines(rows, "csv", ["id", "n", "labels", "note", "none"])).toBe(
      "id,n,labels,note,none\r\n" +
      'wl_a,9007199254740993,"{""team"":""a, \\""b\\""""}",\'=HYPERLINK(1),\r\n' +
      'wl_b,,,"two\nlines",\r\n');
    for (const bad of ["+1", "-1", "@a", "\tx", "=1,2"]) {
      expect(lines([{ a: bad }], "csv", ["a"])).toMatch(/^a\r\n"?'/);
    }
    expect(lines([{ a: -1 }], "csv", ["a"])).toBe("a\r\n-1\r\n");
  });
  test("as JSON lines is what the server sent", () => {
    expect(lines(rows, "ndjson", []).trimEnd().split("\n")).toEqual(rows.map((r) => printExact(r)));
    expect(lines(rows, "ndjson", [])).toContain('"n":9007199254740993');
  });
  test("reads every page, also after an empty one, and stops at its limit", async () => {
    const pages = (sizes: number[]) => async (cursor?: string) => {
      const at = Number(cursor ?? 0);
      return { rows: Array.from({ length: sizes[at] ?? 0 }, () => ({})), next: at + 1 < sizes.length ? String(at + 1) : undefined };
    };
    const seen: number[] = [];
    expect(await readAll(pages([2, 0, 1]), (n) => seen.push(n))).toEqual({ rows: [{}, {}, {}], more: false });
    expect(seen).toEqual([2, 2, 3]);
    expect(await readAll(pages([2, 2, 2]), () => {}, 4)).toMatchObject({ rows: { length: 4 }, more: true });
    expect(await readAll(pages([2, 2]), () => {}, 4)).toMatchObject({ rows: { length: 4 }, more: false });
    expect(await readAll(pages([5]), () => {}, 4)).toMatchObject({ rows: { length: 4 }, more: true });
    expect(exportLimit).toBe(10_000);
  });
});

describe("saved views", () => {
  test("are replaced by name and kept in the order of names", () => {
    const views = withView(withView([], { name: "b", path: "/workloads?a=1" }), { name: "a", path: "/audit" });
    expect(views.map((v) => v.name)).toEqual(["a", "b"]);
    expect(withView(views, { name: "b", path: "/queues" })).toEqual([{ name: "a", path: "/audit" }, { name: "b", path: "/queues" }]);
  });
  test("are the same whatever the order of their filters", () => {
    expect(samePath("/workloads?label=a%3Db&status=FAILED", "/workloads?status=FAILED&label=a=b")).toBe(true);
    expect(samePath("/workloads?status=FAILED", "/queues?status=FAILED")).toBe(false);
    expect(samePath("/workloads?status=FAILED", "/workloads")).toBe(false);
  });
  test("lead to no other site and survive what is stored", () => {
    expect(parseViews(JSON.stringify([{ name: "x", path: "//evil" }, { name: "y", path: "https://evil" }, { name: "z", path: "/\\evil" }, null, 7]))).toEqual([]);
    expect(parseViews("{")).toEqual([]);
    expect(parseViews("{}")).toEqual([]);
    expect(parseViews(null)).toEqual([]);
    expect(parseViews('[{"name":"a","path":"/workloads?status=FAILED"}]')).toEqual([{ name: "a", path: "/workloads?status=FAILED" }]);
  });
});

describe("command palette", () => {
  const entries: Entry[] = [
    { name: "Audit", kind: "page", to: "/audit" }, { name: "Workloads", kind: "page", to: "/workloads" },
    { name: "Failed workloads", kind: "saved view", to: "/workloads?status=FAILED" },
  ];
  test("finds by words in any order, those that begin with the text first", () => {
    expect(matching(entries, "work").map((e) => e.name)).toEqual(["Workloads", "Failed workloads"]);
    expect(matching(entries, "view failed").map((e) => e.name)).toEqual(["Failed workloads"]);
    expect(matching(entries, "").length).toBe(3);
    expect(matching(entries, "x")).toEqual([]);
  });
  test("leads to ids and lists", () => {
    expect(idEntries(" wl_06h1lgm0utuonetshh3b1mna64 ", false)).toMatchObject([{ to: "/workloads/wl_06h1lgm0utuonetshh3b1mna64" }]);
    expect(idEntries("cust_acme", true).map((e) => e.to)).toEqual(["/customers/cust_acme", "/workloads?customer=cust_acme"]);
    expect(idEntries("cust_acme", false)).toEqual([]);
    expect(searchEntries("team=a b")[0]?.to).toBe("/workloads?label=team%3Da+b");
    expect(searchEntries("sleep")[0]?.to).toBe("/workloads?type=sleep");
    expect(searchEntries(" ")).toEqual([]);
  });
});

describe("submission", () => {
  test("sends what was typed, each number with its digits, and nothing for empty fields", () => {
    expect(submission({ ...emptyForm, type: " sleep ", input: '{"id":9007199254740993}' }))
      .toBe('{"workload_type":"sleep","input_params":{"id":9007199254740993}}');
    expect(JSON.parse(submission({
      ...emptyForm, type: "train", priority: "5", timeout: "60", labels: "team=a, x=b=c", cores: "0.5", memory: "2048", gpus: "2", models: "A10, L4",
    }))).toEqual({
      workload_type: "train", input_params: {}, priority: 5, timeout_seconds: 60, labels: { team: "a", x: "b=c" },
      resources: { cpu_cores: 0.5, memory_mb: 2048, gpus: 2, gpu_models: ["A10", "L4"] },
    });
  });
  test.each([
    ["type", {}], ["input", { type: "t", input: "[1]" }], ["input", { type: "t", input: "{" }], ["input", { type: "t", input: "9007199254740993" }],
    ["labels", { type: "t", labels: "team" }], ["memory", { type: "t", memory: "1.5" }], ["cores", { type: "t", cores: "two" }],
    ["gpus", { type: "t", models: "A10" }], ["priority", { type: "t", priority: "-1" }],
  ] as const)("names the field %s that is wrong", (field, change) => {
    let caught: unknown;
    try {
      submission({ ...emptyForm, ...change });
    } catch (e) {
      caught = e;
    }
    expect(caught).toBeInstanceOf(Problem);
    expect((caught as Problem).field).toBe(field);
  });
});

describe("the order of a list", () => {
  test("is part of the address, and what the API takes", () => {
    const f = readFilters(new URLSearchParams("order=oldest&status=PENDING"));
    expect(f.order).toBe("oldest");
    expect(ordering(f)).toEqual({ order_by: "created_at", order: "asc" });
    expect(writeFilters(f).toString()).toBe("status=PENDING&order=oldest");
    expect(ordering(readFilters(new URLSearchParams("order=priority")))).toEqual({ order_by: "priority" });
    expect(readFilters(new URLSearchParams("order=nonsense")).order).toBe("created_at");
  });
});

describe("a text in a workload", () => {
  const w = { workload_id: "wl_1", workload_type: "Train", customer_id: "cust_a", labels: { team: "Billing" }, error_type: "poison" };
  test("is looked for in what the row shows, and in why it failed", () => {
    for (const text of ["wl_1", "train", "cust_a", "team=bill", "poison"]) expect(hasText(w, text), text).toBe(true);
    expect(hasText(w, "other")).toBe(false);
  });
});
