// The page's side of the stream: over the worker that all tabs share, or, where there is none, by itself.

import type { Told } from "./connection.ts";
import { Exchange, type Had, NOTHING_HAD, type Shared } from "./hub.ts";

declare const VERSION: string;

/** What a tab says to the worker. */
export type Asked =
  | { type: "listen"; tenant: string; had: Had }
  | { type: "again" }
  | { type: "alive" }
  | { type: "leave" };

export type Heard = Told | { type: "gone" };

interface Way {
  listen(tenant: string, had: Had): void;
  again(): void;
  leave(): void;
}

class Alone implements Way {
  readonly #exchange = new Exchange(document.baseURI);
  readonly #line: { tell: (told: Told) => void };
  #tenant: string | null = null;
  #shared: Shared | null = null;

  constructor(tell: (told: Told) => void) {
    this.#line = { tell };
  }

  listen(tenant: string, had: Had): void {
    this.leave();
    this.#tenant = tenant;
    this.#shared = this.#exchange.join(tenant, this.#line, had);
  }

  again(): void {
    this.#shared?.again();
  }

  leave(): void {
    if (this.#tenant !== null) this.#exchange.leave(this.#tenant, this.#line);
    this.#tenant = null;
  }
}

class Together implements Way {
  readonly #port: MessagePort;

  constructor(worker: SharedWorker, tell: (heard: Heard) => void) {
    this.#port = worker.port;
    this.#port.onmessage = (event: MessageEvent<Heard>) => tell(event.data);
    this.#port.start();
    setInterval(() => this.#ask({ type: "alive" }), 20_000);
    addEventListener("pagehide", () => this.leave());
  }

  #ask(asked: Asked): void {
    this.#port.postMessage(asked);
  }

  listen(tenant: string, had: Had): void {
    this.#ask({ type: "listen", tenant, had });
  }

  again(): void {
    this.#ask({ type: "again" });
  }

  leave(): void {
    this.#ask({ type: "leave" });
  }
}

export class Client {
  readonly #tell: (told: Told) => void;
  readonly #had: () => Had;
  #way: Way;
  #tenant = "";

  /** `had`: what the page has by now. */
  constructor(tell: (told: Told) => void, had: () => Had) {
    this.#tell = tell;
    this.#had = had;
    this.#way = this.#open();
    addEventListener("pageshow", (event) => {
      if (event.persisted) this.#goOn();
    });
  }

  #open(): Way {
    if (typeof SharedWorker === "undefined") return new Alone(this.#tell);
    try {
      // A tab of another version of the page has a worker of its own version.
      const worker = new SharedWorker(`stream.js?${VERSION}`, { name: `hubwire ${VERSION}` });
      worker.onerror = () => this.#alone();
      return new Together(worker, (heard) => (heard.type === "gone" ? this.#goOn() : this.#tell(heard)));
    } catch {
      return new Alone(this.#tell);
    }
  }

  #alone(): void {
    this.#way = new Alone(this.#tell);
    this.#way.listen(this.#tenant, this.#had());
  }

  /** Listen from the newest rows on. */
  listen(tenant: string): void {
    this.#tenant = tenant;
    this.#way.listen(tenant, NOTHING_HAD);
  }

  /** After a sleep: listen from where the page is. */
  #goOn(): void {
    this.#way.listen(this.#tenant, this.#had());
  }

  again(): void {
    this.#way.again();
  }

  leave(): void {
    this.#way.leave();
  }
}
