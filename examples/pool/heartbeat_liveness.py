"""A quiet market is a healthy one: heartbeats alone keep a connection alive.

The exchange of this demo sends no tick but the one that answers a subscription. With 15 s of
silence, `[feed] stall_after_s`, the connection would be given up; heartbeats come each second.
"""

import time

from show import console, run, settle

import pipeline


def main(instance, seconds):
    with pipeline.attach(instance, wait_s=2) as market:
        market.subscribe([408065], mode="quote")
        settle(market)
        pause_s = min(3.0, seconds / 2)
        next_s, end_s = time.monotonic() + pause_s, time.monotonic() + seconds
        beats = 0
        for frame in market.frames(timeout_s=0.1):
            if isinstance(frame, pipeline.RawFrame) and len(frame.payload) == 1:
                beats += 1
            if time.monotonic() >= next_s:
                next_s += pause_s
                report(market, beats)
            if time.monotonic() >= end_s:
                break


def report(market, beats):
    (connection,) = next(iter(market.stats()["accounts"].values()))["connections"]
    (tick,) = market.latest([408065])
    silence_s = time.time() - tick["receive_ts_ns"] / 1e9
    console.print(
        f"{market.health()['state']}: {connection['state']}, {beats} heartbeats, "
        f"last frame {connection['last_frame_age_ms'] / 1000:.1f} s ago, "
        f"last tick {silence_s:.1f} s ago"
    )


if __name__ == "__main__":
    run(main, seconds=20)
