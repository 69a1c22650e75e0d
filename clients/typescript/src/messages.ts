// What travels between a client and the gateway: OpenAlgo's WebSocket protocol, as types.

/** How much of an instrument is wanted. */
export type Mode = "ltp" | "quote" | "depth";

/** The protocol's numbers of the modes. */
export const MODE_NUMBERS: Readonly<Record<Mode, 1 | 2 | 3>> = { ltp: 1, quote: 2, depth: 3 };
export const MODES: readonly Mode[] = ["ltp", "quote", "depth"];
export const MODE_OF_NUMBER: Readonly<Record<number, Mode>> = { 1: "ltp", 2: "quote", 3: "depth" };

/** An instrument by OpenAlgo's names, such as `{ exchange: "NSE", symbol: "INFY" }`. */
export interface Instrument {
  readonly exchange: string;
  readonly symbol: string;
}

/** The last price. Times are milliseconds since the epoch; what is not known is absent. */
export interface Ltp extends Instrument {
  readonly ltp: number;
  /** The exchange's time, else when the pipeline received it. */
  readonly timestamp: number;
  /** The same as `timestamp`, by another name; when it was traded is `last_trade_time`. */
  readonly ltt?: number;
  /** When it came off the broker's socket. */
  readonly receive_timestamp?: number;
}

/** The day so far. An index has no volumes; what a packet does not carry is absent, never 0. */
export interface Quote extends Ltp {
  readonly open?: number;
  readonly high?: number;
  readonly low?: number;
  readonly close?: number;
  readonly volume?: number;
  readonly last_quantity?: number;
  readonly last_trade_time?: number;
  readonly average_price?: number;
  readonly change?: number;
  readonly change_percent?: number;
  readonly total_buy_quantity?: number;
  readonly total_sell_quantity?: number;
  readonly oi?: number;
  readonly bid_price?: number;
  readonly ask_price?: number;
  readonly bid_size?: number;
  readonly ask_size?: number;
}

/** One price of the book. */
export interface Level {
  readonly price: number;
  readonly quantity: number;
  readonly orders: number;
}

/** A quote with the book, best prices first. */
export interface Depth extends Quote {
  readonly depth?: { readonly buy: readonly Level[]; readonly sell: readonly Level[] };
}

/** What a subscription in a mode is called back with. */
export interface TickOf {
  ltp: Ltp;
  quote: Quote;
  depth: Depth;
}

/** A change of one of the account's orders. */
export interface OrderUpdate extends Instrument {
  readonly type: "order_update";
  readonly user_id: string;
  readonly mode: "live" | "analyze";
  readonly broker: string;
  readonly orderid: string;
  readonly action: "BUY" | "SELL";
  readonly quantity: number;
  readonly price: number;
  readonly trigger_price: number;
  readonly pricetype: "MARKET" | "LIMIT" | "SL" | "SL-M";
  readonly product: "CNC" | "NRML" | "MIS";
  readonly order_status: "open" | "trigger pending" | "complete" | "rejected" | "cancelled";
  readonly filled_quantity: number;
  readonly pending_quantity: number;
  readonly average_price: number;
  readonly rejection_reason: string;
}

interface Acknowledged {
  readonly status: "success" | "partial" | "error";
  readonly request_id?: string;
}

export interface Item extends Instrument {
  readonly status: "success" | "error";
  readonly message?: string;
}

/** Everything that the gateway says. An error has no `type`: its `status` is "error". */
export type ServerMessage =
  | { type: "auth"; status: "success"; broker: string; user_id: string }
  | ({ type: "subscribe"; subscriptions?: Item[] } & Acknowledged)
  | ({ type: "unsubscribe"; successful?: Item[]; failed?: Item[] } & Acknowledged)
  | ({ type: "subscribe_orders" | "unsubscribe_orders" | "subscribe_status" } & Acknowledged)
  | { type: "status"; subscriptions?: Item[] }
  | ({ type: "market_data"; mode: number; data: Depth; broker: string } & Instrument)
  | OrderUpdate
  | { type: "pong"; _pingId?: string }
  | { type?: undefined; status: "error"; code: string; message: string; request_id?: string };

/** Return `EXCHANGE:SYMBOL`. */
export function keyOf(instrument: Instrument): string {
  return `${instrument.exchange}:${instrument.symbol}`;
}

/** Return the instrument of `EXCHANGE:SYMBOL`; throws for anything else. */
export function parseInstrument(text: string): Instrument {
  const colon = text.indexOf(":");
  if (colon < 1 || colon === text.length - 1) {
    throw new TypeError(`"${text}": expected EXCHANGE:SYMBOL, such as NSE:INFY`);
  }
  return { exchange: text.slice(0, colon), symbol: text.slice(colon + 1) };
}
