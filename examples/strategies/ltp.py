"""Print the last price of every tick: python examples/strategies/ltp.py [INSTANCE]"""

import contextlib
import sys

import pipeline

instance = sys.argv[1] if len(sys.argv) > 1 else "demo"

with contextlib.suppress(KeyboardInterrupt), pipeline.attach(instance, wait_s=10) as market:
    for ticks in market.batches():  # a structured array; all connections merged
        for token, price in zip(ticks["instrument_token"], ticks["last_price"], strict=True):
            print(f"{token:>10} {price:>12.2f}", flush=True)
