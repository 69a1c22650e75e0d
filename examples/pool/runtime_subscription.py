"""Subscribing while it runs, in seven steps, none of which reconnects anything."""

from show import console, distribution, read, run

import pipeline

FIRST = [408065, 884737, 738561]
MORE = [256265, 260105]


def main(instance, seconds):
    with pipeline.attach(instance, wait_s=2) as market:
        market.subscribe(FIRST, mode="ltp")
        distribution(market, "1. three instruments, mode ltp")

        market.subscribe(MORE, mode="quote")
        distribution(market, "2. two more, mode quote")

        market.set_mode("full", FIRST[:2])
        distribution(market, "3. two of the first in mode full")

        market.unsubscribe(FIRST[2:])
        distribution(market, "4. one removed")

        market.subscribe([265], mode="full")
        distribution(market, "5. another one in mode full")

        count = sum(len(ticks) for ticks in read(market, seconds))
        console.print(f"6. {count} ticks in {seconds:g} s")

        market.unsubscribe(list(market.wants()))
        distribution(market, "7. all removed")
        epochs = [connection.connection_epoch for connection in market.connections()]
        console.print(f"connections: {len(epochs)}, opened {sum(epochs)} times in all")


if __name__ == "__main__":
    run(main, seconds=5)
