// Who wants which instrument in which mode, and what of that is still to be said.

import { guarded } from "./guarded.js";
import { type Depth, type Instrument, type Mode, keyOf } from "./messages.js";

export type Listener = (tick: Depth) => void;

export interface Want {
  readonly instrument: Instrument;
  readonly mode: Mode;
  readonly listeners: Set<Listener>;
  /** The newest one. */
  tick?: Depth | undefined;
  /** Why it is not streamed. */
  refusal?: string | undefined;
}

/** A difference for the gateway: instruments by mode. */
export type Changes = ReadonlyMap<Mode, readonly Instrument[]>;

export class Wants {
  readonly #wants = new Map<string, Want>();
  readonly #added = new Map<string, Want>();
  readonly #removed = new Map<string, Want>();

  get size(): number {
    return this.#wants.size;
  }

  /** Add a listener; the first one of an instrument and mode is to be said. */
  add(instrument: Instrument, mode: Mode, listener: Listener): void {
    const key = wantKey(instrument, mode);
    let want = this.#wants.get(key);
    if (want === undefined) {
      want = this.#removed.get(key); // then the gateway has not heard that it had gone
      if (want === undefined) this.#added.set(key, (want = { instrument, mode, listeners: new Set() }));
      else this.#removed.delete(key);
      this.#wants.set(key, want);
    }
    want.listeners.add(listener);
  }

  /** Take a listener away; when it was the last one, that is to be said. */
  remove(instrument: Instrument, mode: Mode, listener: Listener): void {
    const key = wantKey(instrument, mode);
    const want = this.#wants.get(key);
    if (want === undefined || !want.listeners.delete(listener) || want.listeners.size > 0) return;
    this.#wants.delete(key);
    if (!this.#added.delete(key)) this.#removed.set(key, want);
  }

  /** Hand a tick to everybody who wants it in this mode. */
  deliver(instrument: Instrument, mode: Mode, tick: Depth): void {
    const want = this.find(instrument, mode);
    if (want === undefined) return;
    want.tick = tick;
    want.refusal = undefined; // it streams after all
    for (const listener of [...want.listeners]) guarded(listener, tick);
  }

  /** Note why something is not streamed, or that it is; return whether it is wanted at all. */
  refuse(instrument: Instrument, mode: Mode, refusal: string | undefined): boolean {
    const want = this.find(instrument, mode);
    if (want !== undefined) want.refusal = refusal;
    return want !== undefined;
  }

  /** Return what is wanted, with the newest that is known of it. */
  find(instrument: Instrument, mode: Mode): Want | undefined {
    return this.#wants.get(wantKey(instrument, mode));
  }

  /** Return what is to be said since the last time, and forget it. */
  takeChanges(): { added: Changes; removed: Changes } {
    const changes = { added: byMode(this.#added), removed: byMode(this.#removed) };
    this.#added.clear();
    this.#removed.clear();
    return changes;
  }

  /** Return everything wanted: what a new connection has to be told. */
  all(): Changes {
    this.#added.clear();
    this.#removed.clear();
    return byMode(this.#wants);
  }
}

function wantKey(instrument: Instrument, mode: Mode): string {
  return `${mode} ${keyOf(instrument)}`;
}

function byMode(wants: ReadonlyMap<string, Want>): Changes {
  const found = new Map<Mode, Instrument[]>();
  for (const { instrument, mode } of wants.values()) {
    const same = found.get(mode);
    if (same === undefined) found.set(mode, [instrument]);
    else same.push(instrument);
  }
  return found;
}
