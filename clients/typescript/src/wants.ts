// Who wants which instrument in which mode, and what of that is still to be said.

import { guarded } from "./guarded.js";
import { type Depth, type Instrument, type Mode, keyOf } from "./messages.js";

export type Listener = (tick: Depth) => void;

interface Want {
  readonly instrument: Instrument;
  readonly mode: Mode;
  readonly listeners: Set<Listener>;
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
      want = { instrument, mode, listeners: new Set() };
      this.#wants.set(key, want);
      if (!this.#removed.delete(key)) this.#added.set(key, want);
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
    const want = this.#wants.get(wantKey(instrument, mode));
    if (want !== undefined) for (const listener of [...want.listeners]) guarded(listener, tick);
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
