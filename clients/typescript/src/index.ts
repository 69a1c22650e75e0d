export { BACKOFF, type BackoffOptions } from "./backoff.js";
export {
  GatewayClient,
  type ClientEvents,
  type ClientOptions,
  type Gap,
  type Rejection,
  type Status,
  type Stop,
} from "./client.js";
export {
  type Depth,
  type Instrument,
  type Level,
  type Ltp,
  type Mode,
  type OrderUpdate,
  type Quote,
  type TickOf,
  keyOf,
  parseInstrument,
} from "./messages.js";
