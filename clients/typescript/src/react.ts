// Live prices in a React component, at most one rendering for each animation frame.

import { createContext, useContext, useMemo, useSyncExternalStore } from "react";

import type { GatewayClient, Stop } from "./client.js";
import { type Mode, type TickOf, keyOf, parseInstrument } from "./messages.js";

/** What is known now; another object whenever something of it has changed. */
export interface MarketData<M extends Mode> {
  /** The newest tick of each `EXCHANGE:SYMBOL`; none until it has ticked. */
  readonly quotes: Readonly<Record<string, TickOf[M]>>;
  /** True while the gateway is not connected: prices may have moved since. */
  readonly stale: boolean;
  /** Why the gateway streams something not. */
  readonly rejected: Readonly<Record<string, string>>;
}

const Context = createContext<GatewayClient | null>(null);

/** `<GatewayProvider value={client}>` around all that uses the hook; the client is connected. */
export const GatewayProvider = Context.Provider;

/**
 * Subscribe to `EXCHANGE:SYMBOL`s in a mode while the component is mounted.
 *
 * The list may be a new array in each rendering. Equal wishes of several components are one
 * subscription at the gateway.
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
  const instruments = symbols.map(parseInstrument);
  const mine = new Set(symbols);
  const stale = () => client.status !== "live";
  let known: MarketData<M> = { quotes: {}, stale: stale(), rejected: {} };
  let ticks: Record<string, TickOf[M]> = {};
  let refusals: Record<string, string> = {};
  let frame = 0;

  function subscribe(onChange: () => void): Stop {
    const flush = () => {
      frame = 0;
      const rejected = { ...known.rejected, ...refusals };
      for (const key of Object.keys(ticks)) delete rejected[key]; // it streams after all
      known = { quotes: { ...known.quotes, ...ticks }, stale: stale(), rejected };
      ticks = {};
      refusals = {};
      onChange();
    };
    const soon = () => {
      if (frame === 0) frame = requestAnimationFrame(flush);
    };
    const stops: Stop[] = [
      client.subscribe(instruments, mode, (tick) => {
        ticks[keyOf(tick)] = tick;
        soon();
      }),
      client.on("rejected", (refusal) => {
        const key = keyOf(refusal.instrument);
        if (refusal.mode !== mode || !mine.has(key)) return;
        refusals[key] = refusal.message;
        soon();
      }),
      client.on("status", soon),
    ];
    if (known.stale !== stale()) soon();
    return () => {
      cancelAnimationFrame(frame);
      frame = 0;
      for (const stop of stops) stop();
    };
  }
  return { subscribe, read: () => known };
}
