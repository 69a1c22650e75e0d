// What is known of each instrument: the newest of each field, when it came, and its candles.

import { Candles } from "./candles.js";
import { keyOf } from "./gateway.js";

const CANDLES_MAX = 64;

/** The newest tick of every instrument that was heard of; `record` is null before the first. */
export class Prices {
  constructor() {
    this.records = new Map();
    this.candles = new Map();
  }

  take(message) {
    const data = message.data;
    const key = keyOf(message.exchange, message.symbol);
    let record = this.records.get(key);
    if (record === undefined) {
      record = { data: {}, mode: 0, before: null, heard: 0, count: 0 };
      this.records.set(key, record);
    }
    if (typeof data.ltp === "number" && data.ltp !== record.data.ltp) {
      record.before = record.data.ltp ?? null;
    }
    Object.assign(record.data, data);
    record.mode = message.mode;
    record.heard = Date.now();
    record.count += 1;
    this.draw(key, data, record);
  }

  draw(key, data, record) {
    const candles = this.candles.get(key);
    if (candles === undefined || typeof data.ltp !== "number") return;
    candles.add(data.timestamp || record.heard, data.ltp, data.volume);
  }

  record(key) {
    return this.records.get(key) ?? null;
  }

  /** Return the candles of an instrument, kept from now on; the longest unused ones are let go. */
  candlesOf(key) {
    const found = this.candles.get(key) ?? new Candles();
    this.candles.delete(key);
    this.candles.set(key, found);
    if (this.candles.size > CANDLES_MAX) this.candles.delete(this.candles.keys().next().value);
    return found;
  }
}
