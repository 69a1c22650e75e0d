"""A pool of three connections: what each carries, how well it is, and what it did in the end."""

from show import console, distribution, read, run, table

import pipeline
from pipeline.sim.market import instrument_tokens


def main(instance, seconds):
    with pipeline.attach(instance, wait_s=2) as market:
        market.subscribe(instrument_tokens(6000), mode="quote")
        distribution(market, "6,000 instruments")
        count = 0
        for _ in range(3):
            count += sum(len(ticks) for ticks in read(market, seconds / 3))
            health(market)
        final(market, count)


def health(market):
    found = market.health()
    console.print(
        f"[bold]{found['state']}[/]: {found['healthy_connections']} of "
        f"{found['total_connections']} connections are well, score {found['score']:.0f}, "
        f"{found['unconfirmed']} unconfirmed, {found['total_errors']} errors"
    )


def final(market, count):
    made = table(
        "final statistics", "<connection", "<state", "frames", "ticks", "MB", "errors", "reconnects"
    )
    for account in market.stats()["accounts"].values():
        for found in account["connections"]:
            totals = found["totals"]
            made.add_row(
                str(found["connection_id"]), found["state"], f"{totals['frames']:,}",
                f"{totals['ticks']:,}", f"{totals['bytes'] / 1e6:.1f}", str(totals["errors"]),
                str(found["reconnects"]),
            )  # fmt: skip
    console.print(made)
    console.print(f"read by this program: {count:,} ticks, {market.lost} lost")


if __name__ == "__main__":
    run(main, seconds=30)
