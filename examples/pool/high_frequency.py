"""Signals from the order book, and how old ticks are when they arrive here.

A signal: the price is 0.1 % away from where it was at the last signal, or the spread is below a
paisa and the book leans to one side by more than 0.7.
"""

import time

import numpy as np
from show import console, read, run, settle, table

import pipeline
from pipeline.sim.market import instrument_tokens

MOVE = 0.001
SPREAD, IMBALANCE = 0.01, 0.7
SAMPLE_EACH = 100
SIGNALS_SHOWN = 5


def main(instance, seconds):
    tokens = instrument_tokens(50)
    with pipeline.attach(instance, wait_s=2) as market:
        market.subscribe(tokens, mode="full")
        settle(market)
        for _ in read(market, 0):
            pass  # what came meanwhile is old
        base, ages_us, signals, count = {}, [], 0, 0
        for ticks in read(market, seconds):
            for tick, lean in zip(ticks, imbalance(ticks), strict=True):
                if why := signal(tick, lean, base):
                    signals += 1
                    if signals <= SIGNALS_SHOWN:
                        console.print(f"{tick['instrument_token']:>10} {why}, leaning {lean:+.2f}")
                if count % SAMPLE_EACH == 0:
                    ages_us.append((time.monotonic_ns() - tick["receive_mono_ns"]) / 1000)
                count += 1
        console.print(f"{count:,} ticks, {signals} signals")
        latency(ages_us)


def imbalance(ticks):
    """Return from -1, all want to sell, to +1 how each book leans."""
    bid, ask = ticks["bid_quantity"].sum(axis=1), ticks["ask_quantity"].sum(axis=1)
    total = np.maximum(bid + ask, 1)
    return (bid.astype(float) - ask) / total


def signal(tick, lean, base):
    price = float(tick["last_price"])
    move = price / base.setdefault(int(tick["instrument_token"]), price) - 1
    if abs(move) >= MOVE:
        base[int(tick["instrument_token"])] = price
        return f"moved {100 * move:+.2f} %"
    spread = tick["ask_price"][0] - tick["bid_price"][0]
    return "a tight spread" if 0 < spread < SPREAD and abs(lean) > IMBALANCE else ""


def latency(ages_us):
    made = table("from the socket to here, in us", "samples", "average", "min", "p95", "p99", "max")
    if ages_us:
        p95, p99 = np.percentile(ages_us, [95, 99])
        found = (np.mean(ages_us), min(ages_us), p95, p99, max(ages_us))
        made.add_row(str(len(ages_us)), *(f"{value:.0f}" for value in found))
    console.print(made)


if __name__ == "__main__":
    run(main, seconds=20)
