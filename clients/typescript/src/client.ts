// A client of the gateway: one socket that comes back by itself, and everything wanted said again.

import { BACKOFF, Backoff, type BackoffOptions } from "./backoff.js";
import { guarded } from "./guarded.js";
import {
  type Instrument,
  type Item,
  MODES,
  MODE_NUMBERS,
  MODE_OF_NUMBER,
  type Mode,
  type OrderUpdate,
  type ServerMessage,
  type TickOf,
} from "./messages.js";
import { type Changes, type Listener, Wants } from "./wants.js";

/** `waiting` is the pause before the next try; `refused` the end of trying: the key is no good. */
export type Status = "idle" | "connecting" | "live" | "waiting" | "refused" | "closed";

/** Undoes what returned it; calling it twice does nothing more. */
export type Stop = () => void;

/** Nothing was received from `fromMs` to `toMs` (Date.now()); what happened then is lost. */
export interface Gap {
  readonly fromMs: number;
  readonly toMs: number;
  readonly code: number;
  readonly reason: string;
}

/** The gateway does not stream this: it knows no such instrument, or has no room for it now. */
export interface Rejection {
  readonly instrument: Instrument;
  readonly mode: Mode;
  readonly message: string;
}

export interface ClientEvents {
  status: Status;
  gap: Gap;
  rejected: Rejection;
  /** What the gateway, or the key's source, complained about. */
  problem: { readonly code: string; readonly message: string };
}

type Socket = Pick<WebSocket, "send" | "close" | "onopen" | "onmessage" | "onclose" | "onerror">;

export interface ClientOptions {
  readonly url: string;
  /** The API key, or where to get one for each connection (a page's key expires). */
  readonly apiKey: string | (() => string | Promise<string>);
  /** Makes a socket; by default the platform's WebSocket. */
  readonly open?: (url: string) => Socket;
  readonly backoff?: Partial<BackoffOptions>;
  /** Time to connect and authenticate. */
  readonly connectWithinMs?: number;
  /** So long a silence is followed by a ping, and by the end of the socket if that is unanswered. */
  readonly pingAfterMs?: number;
  readonly pongWithinMs?: number;
}

const SYMBOLS_PER_MESSAGE = 1000;
const STATUS_ID = "status";
const LOST = 1006;

export class GatewayClient {
  readonly #options: Required<Omit<ClientOptions, "backoff">>;
  readonly #backoff: Backoff;
  readonly #wants = new Wants();
  readonly #orders = new Set<(order: OrderUpdate) => void>();
  readonly #handlers: { [E in keyof ClientEvents]: Set<(event: ClientEvents[E]) => void> } = {
    status: new Set(),
    gap: new Set(),
    rejected: new Set(),
    problem: new Set(),
  };
  readonly #asked = new Map<string, Mode>();
  readonly #replay = new Set<string>();
  #status: Status = "idle";
  #socket: Socket | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #requests = 0;
  #flushing = false;
  #liveMs = 0;
  #heardMs = 0;
  #pingedMs = 0; // 0: no answer is awaited
  #attempt = 0;
  #lost: { fromMs: number; code: number; reason: string } | undefined;

  constructor(options: ClientOptions) {
    this.#options = {
      open: (url) => new WebSocket(url),
      connectWithinMs: 10_000,
      pingAfterMs: 10_000,
      pongWithinMs: 5_000,
      ...options,
    };
    this.#backoff = new Backoff({ ...BACKOFF, ...options.backoff });
  }

  get status(): Status {
    return this.#status;
  }

  /** Call back on every event of a kind. */
  on<E extends keyof ClientEvents>(event: E, handler: (event: ClientEvents[E]) => void): Stop {
    this.#handlers[event].add(handler);
    return () => this.#handlers[event].delete(handler);
  }

  /** Connect, and stay so until `close`; a call while that is so, or after it, does nothing. */
  connect(): void {
    if (this.#status === "idle" || this.#status === "refused") void this.#open();
  }

  /** Call back on every tick of instruments in a mode, over all connections to come. */
  subscribe<M extends Mode>(
    instruments: readonly Instrument[],
    mode: M,
    onTick: (tick: TickOf[M]) => void,
  ): Stop {
    // Each call has a listener of its own, so that one function may be given twice, and a list of
    // its own, so that what ends is what began.
    const listener: Listener = (tick) => onTick(tick);
    const wanted = [...instruments];
    for (const instrument of wanted) this.#wants.add(instrument, mode, listener);
    this.#flushSoon();
    return () => {
      for (const instrument of wanted) this.#wants.remove(instrument, mode, listener);
      this.#flushSoon();
    };
  }

  /** Return the newest tick of an instrument that is subscribed to in a mode, if one has come. */
  latest<M extends Mode>(instrument: Instrument, mode: M): TickOf[M] | undefined {
    return this.#wants.find(instrument, mode)?.tick as TickOf[M] | undefined;
  }

  /** Return why an instrument that is subscribed to in a mode is not streamed, if it is refused. */
  refusal(instrument: Instrument, mode: Mode): string | undefined {
    return this.#wants.find(instrument, mode)?.refusal;
  }

  /** Call back on every order update of the key's account. */
  onOrder(handler: (order: OrderUpdate) => void): Stop {
    this.#orders.add(handler);
    if (this.#orders.size === 1) this.#sayOrders("subscribe_orders");
    return () => {
      if (this.#orders.delete(handler) && this.#orders.size === 0) {
        this.#sayOrders("unsubscribe_orders");
      }
    };
  }

  /** End the connection and all tries; a closed client stays closed. */
  close(): void {
    this.#drop(1000);
    this.#enter("closed");
  }

  // ---- the connection ------------------------------------------------------------------------

  async #open(): Promise<void> {
    const attempt = (this.#attempt += 1);
    this.#enter("connecting");
    const { apiKey, connectWithinMs } = this.#options;
    this.#after(connectWithinMs, () => this.#end(LOST, "no answer"));
    let key: string;
    try {
      key = typeof apiKey === "string" ? apiKey : await apiKey();
    } catch (error) {
      this.#emit("problem", { code: "NO_KEY", message: String(error) });
      if (this.#isOpening(attempt)) this.#wait(0);
      return;
    }
    if (!this.#isOpening(attempt)) return; // closed meanwhile, or it took too long
    let socket: Socket;
    try {
      socket = this.#socket = this.#options.open(this.#options.url);
    } catch (error) {
      this.#emit("problem", { code: "NO_SOCKET", message: String(error) });
      this.#wait(0);
      return;
    }
    socket.onopen = () => this.#send({ action: "authenticate", api_key: key });
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#end(event.code, event.reason);
    socket.onerror = () => undefined; // a close follows, and says more
  }

  #isOpening(attempt: number): boolean {
    return attempt === this.#attempt && this.#status === "connecting";
  }

  /** Take leave of a socket that is lost, and try again later. */
  #end(code: number, reason: string): void {
    const wasLive = this.#status === "live";
    this.#drop(code);
    if (wasLive) this.#lost ??= { fromMs: this.#heardMs, code, reason };
    this.#wait(wasLive ? Date.now() - this.#liveMs : 0);
  }

  #wait(livedMs: number): void {
    this.#enter("waiting");
    this.#after(this.#backoff.next(livedMs), () => void this.#open());
  }

  #drop(code: number): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    this.#pingedMs = 0;
    this.#asked.clear();
    this.#replay.clear();
    if (socket === undefined) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // Browsers allow 1000 and 3000 to 4999 only; what we saw is for our own listeners.
    socket.close(code === 1000 ? 1000 : 4000);
  }

  #after(ms: number, act: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(act, ms);
  }

  /** Ping after a silence; give the socket up when nothing comes for so long after that. */
  #watch(): void {
    const { pingAfterMs, pongWithinMs } = this.#options;
    const now = Date.now();
    if (this.#pingedMs > 0) {
      this.#end(LOST, "silent");
      return;
    }
    const dueMs = this.#heardMs + pingAfterMs - now;
    if (dueMs <= 0) {
      this.#pingedMs = now;
      this.#send({ action: "ping", timestamp: now });
    }
    this.#after(dueMs > 0 ? dueMs : pongWithinMs, () => this.#watch());
  }

  // ---- what is said --------------------------------------------------------------------------

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#status !== "live") return; // all of it is said when it is
      const { added, removed } = this.#wants.takeChanges();
      this.#ask("unsubscribe", removed);
      this.#ask("subscribe", added);
    });
  }

  /** Say a difference in as few messages as may be; return their ids. */
  #ask(action: "subscribe" | "unsubscribe", changes: Changes): string[] {
    const ids: string[] = [];
    for (const [mode, instruments] of changes) {
      for (let first = 0; first < instruments.length; first += SYMBOLS_PER_MESSAGE) {
        const number = MODE_NUMBERS[mode];
        const symbols = instruments
          .slice(first, first + SYMBOLS_PER_MESSAGE)
          .map(({ exchange, symbol }) => ({ symbol, exchange, mode: number }));
        const request_id = `c${(this.#requests += 1)}`;
        ids.push(request_id);
        this.#asked.set(request_id, mode);
        this.#send({ action, symbols, mode: number, request_id });
      }
    }
    return ids;
  }

  #sayOrders(action: "subscribe_orders" | "unsubscribe_orders"): string {
    const request_id = `c${(this.#requests += 1)}`;
    if (this.#status === "live") this.#send({ action, request_id });
    return request_id;
  }

  #send(message: object): void {
    this.#socket?.send(JSON.stringify(message));
  }

  // ---- what is heard -------------------------------------------------------------------------

  #receive(data: unknown): void {
    this.#heardMs = Date.now();
    if (this.#pingedMs > 0) {
      this.#pingedMs = 0;
      this.#watch();
    }
    const message = read(data);
    if (message === undefined) {
      this.#emit("problem", { code: "NOT_JSON", message: String(data).slice(0, 100) });
      return;
    }
    switch (message.type) {
      case "market_data": {
        const mode = MODE_OF_NUMBER[message.mode];
        if (mode !== undefined) this.#wants.deliver(message, mode, message.data);
        return;
      }
      case "order_update":
        for (const handler of [...this.#orders]) guarded(handler, message);
        return;
      case "auth":
        if (message.status === "success") this.#begin();
        return;
      case "subscribe":
      case "unsubscribe":
        this.#acknowledged(message);
        return;
      case "subscribe_orders":
        this.#answered(message.request_id);
        return;
      case "status":
        for (const item of message.subscriptions ?? []) {
          for (const mode of MODES) this.#judge(item, mode);
        }
        return;
      case undefined:
        if (message.status === "error") this.#complained(message);
        return;
      default: // a pong, or something newer than this client
    }
  }

  #begin(): void {
    if (this.#status === "live") return;
    this.#liveMs = this.#heardMs;
    this.#enter("live");
    for (const id of this.#ask("subscribe", this.#wants.all())) this.#replay.add(id);
    if (this.#orders.size > 0) this.#replay.add(this.#sayOrders("subscribe_orders"));
    this.#send({ action: "subscribe_status", request_id: STATUS_ID });
    this.#closeGap();
    this.#watch();
  }

  /** A gap is over once the gateway has heard everything again. */
  #closeGap(): void {
    if (this.#lost === undefined || this.#replay.size > 0) return;
    const lost = this.#lost;
    this.#lost = undefined;
    this.#emit("gap", { ...lost, toMs: Date.now() });
  }

  #acknowledged(message: Extract<ServerMessage, { type: "subscribe" | "unsubscribe" }>): void {
    const mode = this.#asked.get(message.request_id ?? "");
    if (mode !== undefined && message.type === "subscribe") {
      for (const item of message.subscriptions ?? []) this.#judge(item, mode);
    }
    this.#answered(message.request_id);
  }

  /** Note whether something wanted is streamed, and tell if it is not. */
  #judge({ exchange, symbol, status, message }: Item, mode: Mode): void {
    const instrument = { exchange, symbol };
    const refusal = status === "error" ? (message ?? "refused") : undefined;
    if (this.#wants.refuse(instrument, mode, refusal) && refusal !== undefined) {
      this.#emit("rejected", { instrument, mode, message: refusal });
    }
  }

  #answered(id: string | undefined): void {
    if (id === undefined) return;
    this.#asked.delete(id);
    if (this.#replay.delete(id)) this.#closeGap();
  }

  #complained({ code, message, request_id }: { code: string; message: string; request_id?: string }): void {
    if (request_id === STATUS_ID) return; // a gateway that does not know it yet
    this.#emit("problem", { code, message });
    if (this.#status !== "connecting") {
      this.#answered(request_id);
    } else if (code === "AUTHENTICATION_ERROR") {
      this.#drop(1000);
      this.#enter("refused"); // a bad key stays bad, and trying it again gets an address banned
    } else {
      this.#end(LOST, message); // not now: the key could not be looked at, or its account is away
    }
  }

  #enter(status: Status): void {
    if (this.#status === status || this.#status === "closed") return;
    this.#status = status;
    this.#emit("status", status);
  }

  #emit<E extends keyof ClientEvents>(event: E, value: ClientEvents[E]): void {
    for (const handler of [...this.#handlers[event]]) guarded(handler, value);
  }
}

/** Return what the gateway said; undefined when that is no JSON object. */
function read(data: unknown): ServerMessage | undefined {
  try {
    const message = JSON.parse(String(data)) as unknown;
    return typeof message === "object" && message !== null ? (message as ServerMessage) : undefined;
  } catch {
    return undefined;
  }
}
