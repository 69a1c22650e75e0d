// What the pool streams, by name, and the search in it.

const REFRESH_MS = 5000;

export class Instruments extends EventTarget {
  constructor() {
    super();
    this.items = []; // {key, token, exchange, symbol, connection, account, text}
    this.byKey = new Map();
    this.problem = "";
    this.unnamed = 0;
    this.loaded = false;
    this.mark = "";
    this.asked = 0;
  }

  /** Load the list if the figures say that it is another one than ours. */
  async follow(document) {
    const pool = document.pool ?? {};
    const parts = (document.connections ?? []).map((one) => `${one.number}/${one.assigned}`);
    const mark = [document.instance?.id, pool.assigned, ...parts].join(" ");
    if (mark === this.mark || Date.now() - this.asked < REFRESH_MS) return;
    this.asked = Date.now();
    try {
      const answer = await fetch("screen/instruments", { cache: "no-store" });
      if (!answer.ok) return;
      this.take(await answer.json());
      this.mark = mark;
    } catch { /* the figures' line tells that the server is away */ }
  }

  take(found) {
    this.problem = found.problem;
    this.unnamed = found.unnamed;
    this.loaded = true;
    this.items = found.rows.map(([token, exchange, symbol, connection, account]) => ({
      key: symbol ? `${exchange}:${symbol}` : `#${token}`,
      token, exchange, symbol, connection, account,
      text: `${symbol} ${exchange} ${token} c${connection} ${account}`.toUpperCase(),
    }));
    this.items.sort((one, other) => byName(one, other));
    this.byKey = new Map(this.items.map((item) => [item.key, item]));
    this.dispatchEvent(new Event("change"));
  }

  /** Return the instruments in whose names every word occurs, those that begin so first. */
  search(text) {
    const parts = text.toUpperCase().split(/[\s:]+/).filter(Boolean);
    if (!parts.length) return this.items;
    const found = this.items.filter((item) => parts.every((part) => item.text.includes(part)));
    const begins = (item) => (item.symbol.startsWith(parts[0]) ? 0 : 1);
    return found.sort((one, other) => begins(one) - begins(other));
  }
}

const byName = (one, other) =>
  Number(one.symbol === "") - Number(other.symbol === "") ||
  (one.key < other.key ? -1 : Number(one.key > other.key));
