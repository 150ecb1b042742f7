// What goes wrong between the console and the server: answers that are lost, late or old.
import { MutationObserver, onlineManager, QueryClient, QueryObserver } from "@tanstack/react-query";
import { afterEach, describe, expect, test } from "vitest";
import { readAgain } from "./api/again";
import { defaultOptions } from "./api/options";
import { ApiError } from "./lib/error";
import { joined, lineLimit, torn } from "./lib/lines";
import { Once } from "./lib/once";
import { afterSameLife, behind, fieldOf, timeOf } from "./lib/times";

describe("mutations", () => {
  afterEach(() => onlineManager.setOnline(true));
  test("of a browser that takes itself for offline are made at once, and not later", async () => {
    onlineManager.setOnline(false);
    let calls = 0;
    const cancel = new MutationObserver(new QueryClient({ defaultOptions }), {
      mutationFn: () => {
        calls++;
        return Promise.reject(new ApiError(0, "UNREACHABLE", "The server cannot be reached."));
      },
    });
    await expect(cancel.mutate()).rejects.toThrow("cannot be reached");
    onlineManager.setOnline(true);
    expect(calls).toBe(1);
  });
});

describe("the key of a request", () => {
  test("is the same for the same request until its answer has come", () => {
    const once = new Once();
    const [a, b] = [once.keyFor("A"), once.keyFor("B")];
    expect(b).not.toBe(a);
    expect([once.keyFor("B"), once.keyFor("A")]).toEqual([b, a]);
    once.answered("A");
    expect(once.keyFor("A")).not.toBe(a);
    expect(once.keyFor("B")).toBe(b);
  });
});

describe("lines that the stream brings while a log is read", () => {
  const lines = (...seqs: number[]) => seqs.map((seq) => ({ seq }));
  test("follow those that were read, each once", () => {
    expect(joined(lines(1, 2, 3), lines(2, 3, 4, 5))).toEqual(lines(1, 2, 3, 4, 5));
    expect(joined([], lines(1, 2))).toEqual(lines(1, 2));
    const read = lines(4, 5);
    expect(joined(read, lines(1, 2, 3, 4))).toBe(read);
  });
  test("are as many as are kept", () => {
    const many = Array.from({ length: lineLimit }, (_, i) => ({ seq: i + 1 }));
    expect(joined(many, lines(lineLimit + 1))).toHaveLength(lineLimit);
  });
  test("are torn from them if there are others between", () => {
    expect(torn(lines(1, 2), lines(4))).toBe(true);
    expect(torn(lines(1, 2), lines(1, 2, 3))).toBe(false);
    expect(torn(lines(1, 4), lines(1, 4))).toBe(false);
    expect(torn([], lines(2))).toBe(true);
    expect(torn([], [])).toBe(false);
  });
});

describe("a query that is to be read again while it is read", () => {
  test("is read once more when that is over, and not cancelled", async () => {
    const client = new QueryClient({ defaultOptions });
    const answers: ((n: number) => void)[] = [];
    const signals: AbortSignal[] = [];
    const seen: (number | undefined)[] = [];
    const observer = new QueryObserver(client, {
      queryKey: ["x"],
      queryFn: ({ signal }) => {
        signals.push(signal);
        return new Promise<number>((r) => answers.push(r));
      },
    });
    const stop = observer.subscribe((r) => seen.push(r.data));
    const settled = () => new Promise((r) => setTimeout(r));
    for (let i = 0; i < 3; i++) readAgain(client, { queryKey: ["x"] });
    expect(answers).toHaveLength(1);
    answers[0]?.(1);
    await settled();
    expect(answers).toHaveLength(2);
    readAgain(client, { queryKey: ["x"] });
    answers[1]?.(2);
    await settled();
    expect(answers).toHaveLength(3);
    answers[2]?.(3);
    await settled();
    expect(client.getQueryData(["x"])).toBe(3);
    expect(answers).toHaveLength(3);
    expect(signals.map((s) => s.aborted)).toEqual([false, false, false]);
    stop();
  });
});

describe("times in fields", () => {
  const zone = process.env.TZ;
  afterEach(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });
  test.each([
    ["UTC", "2026-01-02T03:04"], ["Asia/Kathmandu", "2026-01-02T08:49"], ["America/New_York", "2026-01-01T22:04"],
  ])("are those of the API in %s", (tz, field) => {
    process.env.TZ = tz;
    expect(fieldOf("2026-01-02T03:04:00.000Z")).toBe(field);
    expect(timeOf(field)).toBe("2026-01-02T03:04:00.000Z");
    expect(timeOf(fieldOf("2026-07-02T03:04:05.000Z"))).toBe("2026-07-02T03:04:05.000Z");
  });
  test("are empty for none", () => {
    expect([fieldOf(undefined), fieldOf(null), fieldOf("never")]).toEqual(["", "", ""]);
    expect([timeOf(""), timeOf(null), timeOf("never")]).toEqual([undefined, undefined, undefined]);
  });
  test("a key that takes the place of another lives as long as that did", () => {
    const now = Date.parse("2026-03-01T00:00:00Z");
    expect(afterSameLife({ created_at: "2026-01-01T00:00:00Z", expires_at: "2026-01-31T00:00:00Z" }, now)).toBe("2026-03-31T00:00:00.000Z");
    expect(afterSameLife({ created_at: "2026-01-01T00:00:00Z", expires_at: null }, now)).toBeUndefined();
  });
  test("the one behind another is the next", () => expect(behind("2026-01-01T00:00:00.999Z")).toBe("2026-01-01T00:00:01.000Z"));
});
