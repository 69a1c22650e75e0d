// Live prices in a React component, at most one rendering for each animation frame.

import { createContext, useContext, useMemo, useSyncExternalStore } from "react";

import type { GatewayClient, Stop } from "./client.js";
import { type Instrument, type Mode, type TickOf, keyOf, parseInstrument } from "./messages.js";

/** What is known now; another object whenever something of it has changed. */
export interface MarketData<M extends Mode> {
  /** The newest tick of each `EXCHANGE:SYMBOL`; none until it has ticked. */
  readonly quotes: Readonly<Record<string, TickOf[M]>>;
  /** True while the gateway is not connected: prices may have moved since. */
  readonly stale: boolean;
  /** Why something is not streamed: the gateway's words, or that it is no `EXCHANGE:SYMBOL`. */
  readonly rejected: Readonly<Record<string, string>>;
}

const Context = createContext<GatewayClient | null>(null);

/** `<GatewayProvider value={client}>` around all that uses the hook; the client is connected. */
export const GatewayProvider = Context.Provider;

/**
 * Subscribe to `EXCHANGE:SYMBOL`s in a mode while the component is mounted.
 *
 * The list may be a new array in each rendering. Equal wishes of several components are one
 * subscription at the gateway, and what is known of one is there at once in all of them, also when
 * the list becomes another.
 */
export function useMarketData<M extends Mode>(symbols: readonly string[], mode: M): MarketData<M> {
  const client = useContext(Context);
  if (client === null) throw new Error("useMarketData needs a <GatewayProvider> above it");
  const list = [...new Set(symbols)].sort().join("\n");
  const store = useMemo(
    () => makeStore(client, list === "" ? [] : list.split("\n"), mode),
    [client, list, mode],
  );
  return useSyncExternalStore(store.subscribe, store.read, store.read);
}

function makeStore<M extends Mode>(client: GatewayClient, symbols: readonly string[], mode: M) {
  const mine = new Map<string, Instrument>();
  const unreadable: Record<string, string> = {};
  for (const symbol of symbols) {
    try {
      mine.set(symbol, parseInstrument(symbol));
    } catch (error) {
      unreadable[symbol] = (error as Error).message;
    }
  }
  let known = look();
  let frame = 0;

  /** Return what the client knows by now, of others' subscriptions too. */
  function look(): MarketData<M> {
    const quotes: Record<string, TickOf[M]> = {};
    const rejected = { ...unreadable };
    for (const [key, instrument] of mine) {
      const tick = client.latest(instrument, mode);
      if (tick !== undefined) quotes[key] = tick;
      const refusal = client.refusal(instrument, mode);
      if (refusal !== undefined) rejected[key] = refusal;
    }
    return { quotes, stale: client.status !== "live", rejected };
  }

  function isNews(found: MarketData<M>): boolean {
    const has = (key: string) =>
      found.quotes[key] !== known.quotes[key] || found.rejected[key] !== known.rejected[key];
    return found.stale !== known.stale || [...mine.keys()].some(has);
  }

  function subscribe(onChange: () => void): Stop {
    const flush = () => {
      frame = 0;
      known = look();
      onChange();
    };
    const soon = () => {
      if (frame === 0) frame = requestAnimationFrame(flush);
    };
    const stops: Stop[] = [
      client.subscribe([...mine.values()], mode, soon),
      client.on("rejected", (refusal) => {
        if (refusal.mode === mode && mine.has(keyOf(refusal.instrument))) soon();
      }),
      client.on("status", soon),
    ];
    if (isNews(look())) soon(); // since it was rendered
    return () => {
      cancelAnimationFrame(frame);
      frame = 0;
      for (const stop of stops) stop();
    };
  }
  return { subscribe, read: () => known };
}
