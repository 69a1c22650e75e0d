// A gateway in this process: its answers are those of the protocol, and it breaks when told to.

import type { ClientOptions } from "../src/index.js";

interface Asked {
  action: string;
  api_key?: string;
  symbols?: { exchange: string; symbol: string; mode: number }[];
  mode?: number;
  request_id?: string;
}

export class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;

  constructor(private readonly gateway: FakeGateway) {
    setTimeout(() => this.onopen?.(), 0);
  }

  send(text: string): void {
    this.gateway.hear(this, JSON.parse(text) as Asked);
  }

  close(): void {
    this.closed = true;
  }

  say(message: object | string): void {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  cut(code: number, reason = ""): void {
    this.onclose?.({ code, reason });
  }
}

export class FakeGateway {
  readonly sockets: FakeSocket[] = [];
  readonly heard: Asked[] = [];
  key = "id.secret";
  unknown = new Set<string>();
  mute = false;
  holdsAcks = false;
  /** What the next keys are answered with instead. */
  authErrors: string[] = [];
  readonly #held: (() => void)[] = [];

  readonly options: ClientOptions = {
    url: "ws://gateway",
    apiKey: this.key,
    open: () => this.open() as never,
    backoff: { firstMs: 1, mostMs: 4 },
  };

  open(): FakeSocket {
    const socket = new FakeSocket(this);
    this.sockets.push(socket);
    return socket;
  }

  get socket(): FakeSocket {
    const last = this.sockets.at(-1);
    if (last === undefined) throw new Error("nobody has connected");
    return last;
  }

  of(action: string): Asked[] {
    return this.heard.filter((message) => message.action === action);
  }

  releaseAcks(): void {
    for (const say of this.#held.splice(0)) say();
  }

  tick(exchange: string, symbol: string, mode: number, data: object): void {
    const own = { symbol, exchange };
    const all = { ...own, ltt: 1, timestamp: 2, ...data };
    this.socket.say({ type: "market_data", ...own, mode, data: all, broker: "zerodha" });
  }

  hear(socket: FakeSocket, message: Asked): void {
    this.heard.push(message);
    if (this.mute) return;
    const answer = this.#answer(message);
    const say = () => answer !== undefined && !socket.closed && socket.say(answer);
    if (this.holdsAcks && message.action.startsWith("subscribe")) this.#held.push(say);
    else queueMicrotask(say);
  }

  #answer({ action, api_key, symbols = [], request_id }: Asked): object | undefined {
    switch (action) {
      case "authenticate":
        if (this.authErrors.length > 0) {
          return { status: "error", code: this.authErrors.shift(), message: "not now" };
        }
        return api_key === this.key
          ? { type: "auth", status: "success", broker: "zerodha", user_id: "alice" }
          : { status: "error", code: "AUTHENTICATION_ERROR", message: "Invalid API key" };
      case "subscribe": {
        const subscriptions = symbols.map(({ exchange, symbol }) => {
          const known = !this.unknown.has(`${exchange}:${symbol}`);
          const message = `Token not found for ${symbol} on ${exchange}`;
          return known
            ? { exchange, symbol, status: "success", mode: "LTP" }
            : { exchange, symbol, status: "error", message };
        });
        const all = subscriptions.every(({ status }) => status === "success");
        return { type: action, status: all ? "success" : "partial", subscriptions, request_id };
      }
      case "unsubscribe":
        return { type: action, status: "success", successful: symbols, failed: [], request_id };
      case "ping":
        return { type: "pong", status: "success" };
      default:
        return { type: action, status: "success", request_id };
    }
  }
}

/** Wait for a condition; the test's own time limit ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}
