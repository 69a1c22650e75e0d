"""An asyncio strategy beside another task: python examples/strategies/moving_average.py [INSTANCE]

Ticks update a running mean per instrument; a second task reports each second. Both run in one
event loop; the reader waits in a helper thread, so nothing here blocks.
"""

import asyncio
import sys

import numpy as np

import pipeline

WEIGHT = 0.1


class Means:
    """The exponential mean of the last price, per instrument."""

    def __init__(self) -> None:
        self.by_token: dict[int, float] = {}
        self.ticks = 0

    def update(self, ticks: np.ndarray) -> None:
        self.ticks += len(ticks)
        for token, price in zip(
            ticks["instrument_token"].tolist(), ticks["last_price"].tolist(), strict=True
        ):
            mean = self.by_token.get(token, price)
            self.by_token[token] = mean + WEIGHT * (price - mean)


async def report(means: Means, every_s: float = 1.0) -> None:
    while True:
        await asyncio.sleep(every_s)
        print(f"{means.ticks} ticks, {len(means.by_token)} instruments", flush=True)


async def main(instance: str) -> None:
    means = Means()
    with pipeline.attach(instance, wait_s=2) as market:
        reporter = asyncio.create_task(report(means))
        try:
            async for ticks in market.batches():
                means.update(ticks)
        finally:
            reporter.cancel()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "demo"))
    except pipeline.PipelineError as error:  # there is none of that name, or it has ended
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
