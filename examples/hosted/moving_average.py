"""A moving average per instrument, hosted: python -m pipeline run -c examples/hosted/averages.toml

The supervisor makes a process for the class and calls it back. Every method is optional, and what
`print` says becomes a line of the log.
"""

import numpy as np

import pipeline


class MovingAverage:
    """Says which instruments stand furthest from their average, every so many ticks."""

    def __init__(self, window: int = 20, report_every: int = 5000) -> None:
        self.weight = 2 / (window + 1)
        self.report_every = report_every
        self.seen = 0

    def on_start(self, market) -> None:
        self.tokens = market.tokens  # sorted
        self.average = np.zeros(len(self.tokens))
        print(f"averages of {len(self.tokens)} instruments")

    def on_ticks(self, ticks: np.ndarray) -> None:
        at = np.searchsorted(self.tokens, ticks["instrument_token"])
        price = ticks["last_price"]
        fresh = self.average[at] == 0
        # Of several ticks of one instrument in a batch the last one counts.
        self.average[at] = np.where(
            fresh, price, self.average[at] + self.weight * (price - self.average[at])
        )
        if self.seen // self.report_every != (self.seen + len(ticks)) // self.report_every:
            distance = price / self.average[at] - 1
            furthest = int(np.abs(distance).argmax())
            token = ticks["instrument_token"][furthest]
            print(f"{token} is {distance[furthest]:+.2%} from its average")
        self.seen += len(ticks)

    def on_event(self, event: object) -> None:
        match event:
            case pipeline.Gap() | pipeline.Overrun() | pipeline.Restart():
                print(f"the averages may be stale: {type(event).__name__}")

    def on_stop(self) -> None:
        print(f"stopped after {self.seen} ticks")
