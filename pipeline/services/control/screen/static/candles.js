// Candles of one instrument, made of its ticks. Kept in steps of 5 s; longer ones are sums of them.

export const STEP_S = 5;
const KEPT = 4320; // six hours

export class Candles {
  constructor() {
    this.rows = []; // {at (s), open, high, low, close, volume, ticks}
    this.total = null; // the day's volume, as the newest tick had it
  }

  /** Take in a price at a time in ms; `total` is the day's volume so far, if the tick has it. */
  add(ms, price, total) {
    const at = Math.floor(ms / 1000 / STEP_S) * STEP_S;
    let traded = 0;
    if (typeof total === "number") {
      traded = this.total === null ? 0 : Math.max(0, total - this.total);
      this.total = total;
    }
    const last = this.rows.at(-1);
    if (last !== undefined && at <= last.at) {
      // A tick that came late belongs to a candle that is there: it may widen it, no more.
      const row = at === last.at ? last : this.rows.findLast((one) => one.at <= at);
      if (row !== undefined) widen(row, price, traded, row === last);
      return;
    }
    this.rows.push({ at, open: price, high: price, low: price, close: price, volume: traded, ticks: 1 });
    if (this.rows.length > KEPT) this.rows.splice(0, this.rows.length - KEPT);
  }

  /** Return candles of `seconds` (a multiple of 5), the oldest first. */
  of(seconds) {
    const found = [];
    for (const row of this.rows) {
      const at = Math.floor(row.at / seconds) * seconds;
      const last = found.at(-1);
      if (last === undefined || last.at !== at) {
        found.push({ ...row, at });
        continue;
      }
      last.high = Math.max(last.high, row.high);
      last.low = Math.min(last.low, row.low);
      last.close = row.close;
      last.volume += row.volume;
      last.ticks += row.ticks;
    }
    return found;
  }
}

function widen(row, price, traded, isNewest) {
  row.high = Math.max(row.high, price);
  row.low = Math.min(row.low, price);
  if (isNewest) row.close = price;
  row.volume += traded;
  row.ticks += 1;
}
