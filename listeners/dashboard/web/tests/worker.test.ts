import assert from "node:assert/strict";
import { mock, test } from "node:test";

const SLEEP_MS = 600_000;

/** Stands for the browser's: it says what it was asked for, and is given what the server would say. */
class Source extends EventTarget {
  static readonly CLOSED = 2;
  static all: Source[] = [];
  readonly url: string;
  readyState = 1;

  constructor(url: URL) {
    super();
    this.url = url.href;
    Source.all.push(this);
  }

  close(): void {
    this.readyState = Source.CLOSED;
  }

  say(from: number, to: number): void {
    const rows = Array.from({ length: to - from + 1 }, (_, index) => ({ seq: from + index }));
    this.dispatchEvent(new MessageEvent("rows", { data: JSON.stringify(rows), lastEventId: `c${to}` }));
  }
}

/** A tab's end of its port to the worker. */
class Port {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  readonly heard: { type: string; data?: string }[] = [];
  start(): void {}
  postMessage(told: { type: string; data?: string }): void {
    this.heard.push(told);
  }
  ask(data: unknown): void {
    this.onmessage?.({ data });
  }
}

type Worker = { onconnect: (event: { ports: unknown[] }) => void };

test("a tab that sleeps for ten minutes is told so, and goes on where it was, with a gap if need be", async () => {
  mock.timers.enable({ apis: ["setInterval", "setTimeout", "Date"], now: 1_800_000_000_000 });
  Object.assign(globalThis, { EventSource: Source, location: { href: "http://hub/stream.js", hash: "" } });
  await import("../src/stream.ts");
  const connect = () => {
    const port = new Port();
    (globalThis as unknown as Worker).onconnect({ ports: [port] });
    port.ask({ type: "listen", tenant: "", had: { cursor: "", seq: -1 } });
    return port;
  };
  const [awake, asleep] = [connect(), connect()];
  const source = Source.all[0];
  assert.ok(source);
  source.say(0, 9);
  for (let passed = 0; passed < SLEEP_MS; passed += 20_000) {
    mock.timers.tick(20_000);
    awake.ask({ type: "alive" });
    source.say(10 + passed, 10 + passed + 19_999);
  }
  const before = asleep.heard.length;
  source.say(700_000, 700_000);
  assert.equal(asleep.heard.length, before, "it is told nothing more");
  asleep.ask({ type: "alive" });
  assert.equal(asleep.heard.at(-1)?.type, "gone");
  asleep.ask({ type: "listen", tenant: "", had: { cursor: "c9", seq: 9 } });
  const told = asleep.heard.slice(before + 1);
  assert.equal(told[0]?.type, "gap");
  const gap = JSON.parse(told[0]?.data ?? "");
  assert.equal(gap.first_seq, 10);
  assert.match(gap.text, /asleep/);
  const next = told.find((each) => each.type === "rows");
  assert.equal(JSON.parse(next?.data ?? "")[0].seq, gap.last_seq + 1);
  for (const port of [awake, asleep]) port.ask({ type: "leave" });
  mock.timers.reset();
});
