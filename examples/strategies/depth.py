"""Watch order books for imbalance: python examples/strategies/depth.py [INSTANCE]

Works on whole arrays: a batch of a thousand ticks costs a few numpy calls, not a thousand Python
calls. Gaps are part of the stream: after one, what was computed from it may be stale.
"""

import sys

import numpy as np

import pipeline
from pipeline.core.enums import Mode

THRESHOLD = 0.6


def imbalance(ticks: np.ndarray) -> np.ndarray:
    """Return (bid - ask) / (bid + ask) of the five best levels, -1 to 1, per tick."""
    bid = ticks["bid_quantity"].sum(axis=1, dtype=np.int64)
    ask = ticks["ask_quantity"].sum(axis=1, dtype=np.int64)
    return (bid - ask) / np.maximum(bid + ask, 1)


def main(instance: str) -> None:
    with pipeline.attach(instance, wait_s=2) as market:
        for item in market.stream(timeout_s=5.0):
            match item:
                case pipeline.Ticks(ticks):
                    full = ticks[ticks["mode"] == Mode.FULL]
                    skew = imbalance(full)
                    for i in np.flatnonzero(np.abs(skew) > THRESHOLD):
                        bid, ask = full["bid_price"][i, 0], full["ask_price"][i, 0]
                        token = full["instrument_token"][i]
                        print(f"{token:>10} {bid:>10.2f} {ask:<10.2f} {skew[i]:+.2f}", flush=True)
                case pipeline.Gap():
                    whose = item.instrument_token or f"connection {item.connection}"
                    print(f"{whose}: {item.duration_s:.3f} s without data ({item.reason.name})",
                          flush=True)  # fmt: skip
                case pipeline.StateChange():
                    print(f"connection {item.connection}: {item.state.name}", flush=True)
                case pipeline.Overrun():
                    print(f"too slow: {item.lost} ticks lost ({item.stage})", flush=True)
                case pipeline.Idle():
                    print("quiet", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "demo")
    except pipeline.PipelineError as error:  # there is none of that name, or it has ended
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
