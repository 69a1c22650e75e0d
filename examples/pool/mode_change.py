"""One instrument in each mode: what a mode costs on the wire, and what a tick has in it."""

import time

from show import console, run, settle, table

import pipeline

TOKEN = 408065


def main(instance, seconds):
    with pipeline.attach(instance, wait_s=2) as market:
        made = table("one instrument", "<mode", "packets", "bytes", "<a tick has")
        frames = market.frames(timeout_s=0.1)
        market.subscribe([TOKEN], mode="ltp")
        for mode in ("ltp", "quote", "full", "ltp"):
            market.set_mode(mode, [TOKEN])
            settle(market)
            made.add_row(mode, *watch(frames, mode, seconds / 4), has(market.latest([TOKEN])[0]))
        console.print(made)
        (connection,) = next(iter(market.stats()["accounts"].values()))["connections"]
        console.print(f"reconnects: {connection['reconnects']}")


def watch(frames, mode, seconds):
    """Return how many packets of the mode came, and how many bytes one takes."""
    code = {"ltp": 1, "quote": 2, "full": 3}[mode]
    end_s, count, size = time.monotonic() + seconds, 0, 0
    for frame in frames:
        if isinstance(frame, pipeline.RawFrame) and len(frame.payload) > 1:
            ticks = pipeline.decode_frame("kite", frame.payload)
            if len(ticks) and ticks["mode"][0] == code:
                count, size = count + 1, int.from_bytes(frame.payload[2:4])
        if time.monotonic() >= end_s and count:
            break
    return str(count), str(size)


def has(tick):
    words = ["last price"]
    if tick["volume_traded"]:
        words.append("volume, open, high, low, close")
    if tick["bid_price"].any():
        words.append("depth")
    return ", ".join(words)


if __name__ == "__main__":
    run(main, seconds=8)
