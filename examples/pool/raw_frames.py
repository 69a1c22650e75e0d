"""Frames as they come from the broker, byte for byte, beside the ticks that are made of them."""

import time

from show import console, run, settle

import pipeline

TOKENS = [408065, 884737, 738561]
FRAMES_SHOWN = 3


def main(instance, seconds):
    with pipeline.attach(instance, wait_s=2) as market:
        market.subscribe(TOKENS, mode="full")
        settle(market)
        frames = heartbeats = total_bytes = packets = 0
        end_s = time.monotonic() + seconds
        for frame in market.frames(timeout_s=0.1):
            if isinstance(frame, pipeline.RawFrame):
                total_bytes += len(frame.payload)
                frames += 1
                if len(frame.payload) == 1:
                    heartbeats += 1
                else:
                    packets += peek(frame, show=frames - heartbeats <= FRAMES_SHOWN)
            if time.monotonic() >= end_s:
                break
        console.print(
            f"{frames} frames, {heartbeats} of them heartbeats; {packets} packets, "
            f"{total_bytes:,} bytes"
        )


def peek(frame, *, show):
    """Return how many packets a frame has, and show the first one, where it lies."""
    runs = list(pipeline.packet_views("kite", frame.payload))
    count = sum(len(packets) for packets in runs)
    if show and runs:
        first = runs[0][0]
        token, price = first["instrument_token"], first["last_price"] / 100
        tick = pipeline.decode_frame("kite", frame.payload)[0]
        same = tick["instrument_token"] == token and tick["last_price"] == price
        console.print(
            f"{len(frame.payload)} bytes, {count} packets, the first of {first.nbytes} bytes: "
            f"{token} at {price:.2f}"
        )
        console.print(f"  decoded {'the same' if same else 'otherwise'}")
    return count


if __name__ == "__main__":
    run(main, seconds=10)
