"""A watch list that grows, changes and shrinks in eleven steps, with the statistics of each."""

from show import console, distribution, read, run, table

import pipeline
from pipeline.sim.market import instrument_tokens

TOKENS = instrument_tokens(40)


def main(instance, seconds):
    with pipeline.attach(instance, wait_s=2) as market:
        before = distribution(market, " 1. before anything is wanted")["pool"]

        def step(title, change):
            change()
            distribution(market, title)
            count = sum(len(ticks) for ticks in read(market, seconds / 10))
            console.print(f"    {count} ticks in {seconds / 10:g} s")

        step(" 2. 10 in quotes", lambda: market.subscribe(TOKENS[:10], mode="quote"))
        step(" 3. 10 more, last prices", lambda: market.subscribe(TOKENS[10:20], mode="ltp"))
        step(" 4. 10 more with depth", lambda: market.subscribe(TOKENS[20:30], mode="full"))
        step(" 5. the same again: nothing", lambda: market.subscribe(TOKENS[20:30], mode="full"))
        step(" 6. the first with depth", lambda: market.set_mode("full", TOKENS[:10]))
        step(" 7. the second, too", lambda: market.set_mode("full", TOKENS[10:20]))
        step(" 8. all down to last prices", lambda: market.set_mode("ltp", TOKENS[:30]))
        step(" 9. 10 fewer", lambda: market.unsubscribe(TOKENS[:10]))
        step("10. 10 others", lambda: market.subscribe(TOKENS[30:], mode="quote"))
        after = market.stats()["pool"]
        market.unsubscribe(TOKENS[10:])
        distribution(market, "11. none")

        made = table("statistics", "<instruments", "at first", "before the end")
        for name in ("desired", "assigned", "wire", "confirmed"):
            made.add_row(name, str(before[name]), str(after[name]))
        console.print(made)


if __name__ == "__main__":
    run(main, seconds=20)
