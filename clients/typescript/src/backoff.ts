// How long to wait before the next try: at random within a bound that doubles (full jitter).

export interface BackoffOptions {
  /** The bound of the first pause. */
  readonly firstMs: number;
  /** No bound is above this. */
  readonly mostMs: number;
  /** So long a life makes the next pause a first one again. */
  readonly resetAfterMs: number;
}

export const BACKOFF: BackoffOptions = { firstMs: 500, mostMs: 30_000, resetAfterMs: 10_000 };

export class Backoff {
  #tries = 0;

  constructor(
    private readonly options: BackoffOptions,
    private readonly random: () => number = Math.random,
  ) {}

  /** Return the pause before the next try; `livedMs` is how long the one before was live. */
  next(livedMs: number): number {
    if (livedMs >= this.options.resetAfterMs) this.#tries = 0;
    const bound = Math.min(this.options.mostMs, this.options.firstMs * 2 ** this.#tries);
    this.#tries += 1;
    return this.random() * bound;
  }
}
