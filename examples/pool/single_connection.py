"""One connection, last prices: ticks, interruptions and order updates, each as it comes."""

import time

from show import console, run, settle

import pipeline

TOKENS = {408065: "INFY", 884737: "TATAMOTORS", 738561: "RELIANCE"}


def main(instance, seconds):
    with pipeline.attach(instance, wait_s=2) as market:
        market.subscribe(TOKENS, mode="ltp")
        settle(market)
        console.print(f"subscribed to {len(TOKENS)} instruments in mode ltp")
        end_s, count = time.monotonic() + seconds, 0
        for item in market.stream(timeout_s=0.1):
            match item:
                case pipeline.Ticks(ticks=ticks):
                    count += len(ticks)
                    pairs = zip(ticks["instrument_token"], ticks["last_price"], strict=True)
                    news = (f"{TOKENS[int(token)]} {price:.2f}" for token, price in pairs)
                    console.print(f"{count:6}  {', '.join(news)}")
                case pipeline.StateChange(connection=number, state=state, reason=reason):
                    console.print(f"connection {number} is {state.name}: {reason.name}")
                case pipeline.Gap(instrument_token=None, connection=number, duration_s=duration_s):
                    console.print(f"connection {number}: {duration_s:.3f} s without data")
                case pipeline.Gap(instrument_token=token, duration_s=duration_s):
                    console.print(f"{TOKENS[token]}: {duration_s:.3f} s without data")
                case pipeline.OrderUpdate(order=order):
                    console.print(f"order update: {order}")
                case pipeline.Overrun() | pipeline.Quarantine():
                    console.print(f"lost: {item}")
            if time.monotonic() >= end_s:
                break
        console.print(f"{count} ticks in {seconds:g} s")


if __name__ == "__main__":
    run(main, seconds=10)
