// The shared worker: one connection to the hub for all tabs. A browser opens six to a host, and a stream holds one.

import type { Asked } from "./stream/client.ts";
import type { Told } from "./stream/connection.ts";
import { Exchange, type Shared } from "./stream/hub.ts";

// The script lies beside the page.
const exchange = new Exchange(new URL(".", location.href).href);
/** A tab that has not said a word for so long is gone: tabs say none when they are closed by force. */
const GONE_MS = 120_000;

interface Scope {
  onconnect: ((event: MessageEvent) => void) | null;
}

class Tab {
  readonly #port: MessagePort;
  readonly #line = { tell: (told: Told) => this.#port.postMessage(told) };
  #tenant: string | null = null;
  #shared: Shared | null = null;
  heardAt = Date.now();

  constructor(port: MessagePort) {
    this.#port = port;
    port.onmessage = (event: MessageEvent<Asked>) => this.#asked(event.data);
    port.start();
  }

  #asked(asked: Asked): void {
    this.heardAt = Date.now();
    if (asked.type === "listen") {
      this.leave();
      tabs.add(this);
      this.#tenant = asked.tenant;
      this.#shared = exchange.join(asked.tenant, this.#line, asked.had);
    } else if (asked.type === "again") {
      this.#shared?.again();
    } else if (asked.type === "leave") {
      this.leave();
    } else if (this.#shared === null) {
      this.#port.postMessage({ type: "gone" });
    }
  }

  leave(): void {
    if (this.#tenant !== null) exchange.leave(this.#tenant, this.#line);
    this.#tenant = null;
    this.#shared = null;
    tabs.delete(this);
  }
}

const tabs = new Set<Tab>();

(globalThis as unknown as Scope).onconnect = (event) => {
  const port = event.ports[0];
  if (port) tabs.add(new Tab(port));
};

setInterval(() => {
  for (const tab of tabs) if (Date.now() - tab.heardAt > GONE_MS) tab.leave();
}, 30_000);
