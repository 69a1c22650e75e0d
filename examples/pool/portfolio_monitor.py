"""What somebody holds: its value now, and whether each price is live or stale."""

import time

from show import console, read, run, settle, table

import pipeline

#: instrument: name, quantity, price that was paid
HOLDINGS = {
    408065: ("INFY", 50, 1500.0),
    884737: ("TATAMOTORS", 120, 910.0),
    738561: ("RELIANCE", 30, 2500.0),
}
STALE_AFTER_S = 60.0


def main(instance, seconds):
    with pipeline.attach(instance, wait_s=2) as market:
        market.subscribe(HOLDINGS, mode="full")
        settle(market)
        console.print(f"{len(HOLDINGS)} holdings, a summary each {seconds / 4:g} s")
        for _ in range(4):
            changes = sum(len(ticks) for ticks in read(market, seconds / 4))
            summary(market, changes)


def summary(market, changes):
    made = table(
        f"{changes} changes", "<holding", "quantity", "price", "value", "gain", "<price is"
    )
    total = paid = 0.0
    for token, tick in zip(HOLDINGS, market.latest(list(HOLDINGS)), strict=True):
        name, quantity, cost = HOLDINGS[token]
        value, age_s = quantity * tick["last_price"], time.time() - tick["receive_ts_ns"] / 1e9
        state = "live" if age_s < STALE_AFTER_S else "[yellow]stale[/]"
        gain = value - quantity * cost
        made.add_row(
            name,
            str(quantity),
            f"{tick['last_price']:.2f}",
            f"{value:,.2f}",
            f"{gain:+,.2f}",
            state,
        )
        total, paid = total + value, paid + quantity * cost
    made.add_row("all", "", "", f"{total:,.2f}", f"{total - paid:+,.2f}", "")
    console.print(made, "")


if __name__ == "__main__":
    run(main, seconds=120)
