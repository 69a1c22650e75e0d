// The prices: one WebSocket to the gateway, what is wanted of it, and what it says.

import { changed } from "./pace.js";
import { gatewayAccess } from "./access.js";

const RETRY_MS = [500, 1000, 2000, 5000];
const PING_MS = 15000;
const SILENT_MS = 40000;
//: Changes of what is wanted are gathered for so long: scrolling is no flood of messages.
const GATHER_MS = 150;
const NAMES_MAX = 500;

export const keyOf = (exchange, symbol) => `${exchange}:${symbol}`;

export const splitKey = (key) => {
  const at = key.indexOf(":");
  return { exchange: key.slice(0, at), symbol: key.slice(at + 1) };
};

/** phase: connecting, live, lost, refused (its key), absent (no gateway), expired (the session). */
export class Gateway extends EventTarget {
  constructor(onTick) {
    super();
    this.onTick = onTick;
    this.phase = "connecting";
    this.since = Date.now();
    this.text = "";
    this.wants = new Map(); // owner -> Map(key -> mode)
    this.subscribed = new Map(); // key -> mode
    this.refused = new Map(); // key -> why
    this.messages = 0;
    this.tries = 0;
  }

  start() {
    this.connect();
    setInterval(() => this.beat(), 5000);
  }

  /** Say what a part of the page wants: Map(key -> mode 1, 2 or 3). */
  want(owner, keys) {
    this.wants.set(owner, keys);
    if (this.gathering) return;
    this.gathering = setTimeout(() => {
      this.gathering = null;
      this.settle();
    }, GATHER_MS);
  }

  async connect() {
    let access;
    try {
      access = await gatewayAccess();
    } catch (error) {
      this.become(error.phase ?? "lost", error.message);
      if (error.phase !== "expired") this.retry();
      return;
    }
    const socket = new WebSocket(access.url);
    this.socket = socket;
    this.heard = Date.now();
    socket.onopen = () => this.say({ action: "authenticate", api_key: access.key });
    socket.onmessage = (event) => socket === this.socket && this.hear(event.data);
    socket.onclose = (event) => socket === this.socket && this.closed(event);
  }

  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  hear(text) {
    this.heard = Date.now();
    const message = JSON.parse(text);
    if (message.type === "market_data") {
      this.messages += 1;
      this.onTick(message);
      changed();
    } else if (message.type === "auth" && message.status === "success") {
      this.tries = 0;
      this.subscribed.clear();
      this.refused.clear();
      this.become("live");
      this.settle();
    } else if (message.type === "subscribe") {
      this.acknowledged(message.subscriptions ?? []);
    } else if (message.code === "AUTHENTICATION_ERROR") {
      this.become("refused", message.message);
      this.socket.close();
    }
  }

  acknowledged(items) {
    for (const item of items) {
      const key = keyOf(item.exchange, item.symbol);
      if (item.status === "error") this.refused.set(key, item.message ?? "refused");
      else this.refused.delete(key);
    }
    changed();
  }

  closed(event) {
    this.socket = null;
    this.subscribed.clear();
    if (this.phase !== "refused") this.become("lost", event.reason);
    this.retry();
  }

  become(phase, text = "") {
    this.text = text;
    if (this.phase === phase) return;
    if (!(this.phase === "lost" && phase === "connecting")) this.since = Date.now();
    this.phase = phase;
    this.dispatchEvent(new Event("phase"));
    changed();
  }

  retry() {
    const pause = RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)];
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), pause);
  }

  beat() {
    if (this.phase !== "live") return;
    const silent = Date.now() - this.heard;
    if (silent > SILENT_MS) this.socket?.close();
    else if (silent > PING_MS) this.say({ action: "ping" });
  }

  /** Send the difference between what is wanted and what was asked for. */
  settle() {
    if (this.phase !== "live") return;
    const wanted = new Map();
    for (const keys of this.wants.values()) {
      for (const [key, mode] of keys) wanted.set(key, Math.max(mode, wanted.get(key) ?? 0));
    }
    const more = new Map(); // mode -> names
    const less = [];
    for (const [key, mode] of wanted) {
      const had = this.subscribed.get(key);
      if (had === mode) continue;
      if (had !== undefined) less.push({ ...splitKey(key), mode: had });
      if (!more.has(mode)) more.set(mode, []);
      more.get(mode).push(splitKey(key));
    }
    for (const [key, mode] of this.subscribed) {
      if (!wanted.has(key)) less.push({ ...splitKey(key), mode });
    }
    for (const [mode, symbols] of more) this.inParts("subscribe", symbols, { mode });
    this.inParts("unsubscribe", less, {});
    this.subscribed = wanted;
  }

  inParts(action, symbols, rest) {
    for (let at = 0; at < symbols.length; at += NAMES_MAX) {
      this.say({ action, symbols: symbols.slice(at, at + NAMES_MAX), ...rest });
    }
  }
}
