// What is known of each instrument, and the candles of those that were chosen.

import { Candles } from "./candles.js";
import { keyOf } from "./gateway.js";
import { emptyRecord, takeTick } from "./records.js";

const CANDLES_MAX = 64;

/** The newest tick of every instrument that was heard of; `record` is null before the first. */
export class Prices {
  constructor() {
    this.records = new Map();
    this.candles = new Map();
  }

  take(message) {
    const key = keyOf(message.exchange, message.symbol);
    let record = this.records.get(key);
    if (record === undefined) {
      record = emptyRecord();
      this.records.set(key, record);
    }
    takeTick(record, message, Date.now());
    this.draw(key, message.data, record);
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
