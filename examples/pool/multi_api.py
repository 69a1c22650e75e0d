"""Two API keys: spread over both by themselves, by hand on one, and read as one stream."""

import time
from collections import Counter

from show import console, distribution, run, table

import pipeline
from pipeline.sim.market import instrument_tokens

TOKENS = instrument_tokens(1200)


def main(instance, seconds):
    with pipeline.attach(instance, wait_s=2) as market:
        market.subscribe(TOKENS[:1000], mode="quote")
        distribution(market, "1,000 instruments, spread over both keys")
        market.subscribe(TOKENS[1000:], mode="full", account="second")
        distribution(market, "200 more, all on the second key")
        counts, next_s = Counter(), time.monotonic() + seconds / 3
        end_s = time.monotonic() + seconds
        for item in market.tagged(timeout_s=0.1):
            if isinstance(item, pipeline.TaggedTicks):
                counts[item.account, item.connection] += len(item)
            if time.monotonic() >= next_s:
                next_s += seconds / 3
                console.print(f"{counts.total():,} ticks in one stream")
            if time.monotonic() >= end_s:
                break
        made = table("of each key and connection", "<account", "connection", "ticks")
        for (account, number), count in sorted(counts.items()):
            made.add_row(account, str(number), f"{count:,}")
        console.print(made)


if __name__ == "__main__":
    run(main, seconds=15)
