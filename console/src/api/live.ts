import { useSyncExternalStore } from "react";
import { sessionEnded } from "./client";
import { parseExact } from "../lib/json";
import { eventReader } from "../lib/sse";
import type { LiveEvent } from "./types";

/** LiveState is how the tab's stream is. */
export type LiveState = "connecting" | "live" | "stale" | "paused" | "ended";

type Listener = (events: LiveEvent[]) => void;

/** quiet is the time without a byte after which a stream is stale: the server sends one every 15 s. */
const quiet = 35_000;
/** tooLong is the time without events after which they are not made up for: everything is read again. */
const tooLong = 5 * 60_000;
/** batch is how long events are collected, so that many of them are one change of the page. */
const batch = 200;

/** unseen is how long the page may be hidden before its stream ends: a browser has few connections for all its tabs. */
const unseen = 30_000;

/** Live is the one stream of events of the tab. */
class Live {
  private path = "";
  private last = "";
  private state: LiveState = "connecting";
  private heard = 0;
  private control?: AbortController;
  private pending: LiveEvent[] = [];
  private asleep = false;
  private hiding?: ReturnType<typeof setTimeout>;
  private flushing?: ReturnType<typeof setTimeout>;
  private readonly events = new Set<Listener>();
  private readonly states = new Set<() => void>();
  private readonly losses = new Set<() => void>();

  constructor() {
    setInterval(() => {
      if (this.state === "live" && Date.now() - this.heard > quiet) this.restart();
    }, 5_000);
    document.addEventListener("visibilitychange", () => this.look());
    this.look();
    window.addEventListener("online", () => this.state === "stale" && this.restart());
  }

  /** look ends the stream of a page that stays hidden. It goes on behind the last event when the page is seen again. */
  private look() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => {
        this.asleep = true;
        this.control?.abort();
        if (this.state === "live" || this.state === "stale") this.set("connecting");
      }, unseen);
    } else if (this.asleep || this.state === "stale") {
      this.asleep = false;
      this.restart();
    }
  }

  /** follow reads another stream from now on; "" reads none. */
  follow(path: string) {
    if (path === this.path) return;
    this.path = path;
    this.last = "";
    this.restart();
  }

  /** pause stops the stream; resume goes on behind the last event, so nothing is lost. */
  pause() {
    this.control?.abort();
    this.set("paused");
  }

  resume() {
    this.set("connecting");
    this.restart();
  }

  listen(l: Listener): () => void {
    this.events.add(l);
    return () => void this.events.delete(l);
  }

  /** onLoss has l called when events were missed. */
  onLoss(l: () => void): () => void {
    this.losses.add(l);
    return () => void this.losses.delete(l);
  }

  subscribe = (l: () => void): (() => void) => {
    this.states.add(l);
    return () => void this.states.delete(l);
  };

  current = () => this.state;

  private set(s: LiveState) {
    if (s === this.state) return;
    this.state = s;
    for (const l of this.states) l();
  }

  private restart() {
    this.control?.abort();
    if (!this.path || this.state === "paused" || this.asleep) return;
    const control = new AbortController();
    this.control = control;
    void this.run(this.path, control.signal);
  }

  private async run(path: string, signal: AbortSignal) {
    for (let failures = 0; !signal.aborted; failures++) {
      if (this.last && Date.now() - this.heard > tooLong) this.last = "";
      try {
        const response = await fetch(path, {
          signal, credentials: "same-origin", headers: this.last ? { "Last-Event-ID": this.last } : {},
        });
        if (response.status === 204) return this.set("ended");
        if (response.status === 401) return sessionEnded();
        if (response.status === 400 && this.last) this.last = ""; // the server does not know the event any more
        if (!response.ok || !response.body) throw new Error(String(response.status));
        failures = 0;
        this.heard = Date.now();
        this.set("live");
        // What was read before a stream that begins now may lack events.
        if (!this.last) for (const l of this.losses) l();
        await this.read(response.body, signal);
      } catch {
        if (signal.aborted) return;
      }
      if (signal.aborted) return;
      if (failures > 0) this.set("stale");
      await new Promise((r) => setTimeout(r, Math.min(15_000, 500 * 2 ** failures) * (0.5 + Math.random() / 2)));
    }
  }

  private async read(body: ReadableStream<Uint8Array>, signal: AbortSignal) {
    const feed = eventReader((e) => {
      this.last = e.id;
      this.pending.push(parseExact(e.data) as unknown as LiveEvent);
      this.flushing ??= setTimeout(() => this.flush(), batch);
    });
    const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      this.heard = Date.now();
      feed(value);
    }
  }

  private flush() {
    this.flushing = undefined;
    const events = this.pending;
    this.pending = [];
    for (const l of this.events) l(events);
    if (events.some((e) => e.type === "gap" && !e.workload_id)) for (const l of this.losses) l();
  }
}

export const live = new Live();

export const useLiveState = () => useSyncExternalStore(live.subscribe, live.current);
