"""8,000 instruments at once: alerts on moves of 2 %, and the top movers of each connection.

The simulated exchange's last prices carry a counter in their low bits; where that turns over, a
price seems to jump, and that is what most alerts of this demo are.
"""

import numpy as np
from show import console, distribution, read, run, table

import pipeline
from pipeline.sim.market import instrument_tokens

ALERT_PERCENT = 2.0
ALERTS_SHOWN = 10
REPORT_EACH = 1000


class Scanner:
    """The first and the last price of each instrument, and who was told about."""

    def __init__(self, tokens):
        self.tokens = np.sort(np.array(tokens, np.uint32))
        self.first = np.zeros(len(tokens))
        self.last = np.zeros(len(tokens))
        self.connection = np.zeros(len(tokens), np.uint16)
        self.told = np.zeros(len(tokens), bool)
        self.count = self.reports = 0

    def take(self, ticks):
        where = np.searchsorted(self.tokens, ticks["instrument_token"])
        new = self.first[where] == 0
        self.first[where[new]] = ticks["last_price"][new]
        self.last[where] = ticks["last_price"]
        self.connection[where] = ticks["connection"]
        for index in np.unique(where[(abs(self.moves()[where]) >= ALERT_PERCENT)]):
            self.alert(index)
        self.count += len(ticks)
        if self.count // REPORT_EACH >= 2 * max(self.reports, 1):
            self.reports = self.count // REPORT_EACH
            console.print(f"{self.count:,} ticks of {np.count_nonzero(self.first):,} instruments")

    def moves(self):
        """Return how far each is from its first price, in per cent."""
        return 100 * np.divide(
            self.last - self.first, self.first, out=np.zeros_like(self.first), where=self.first > 0
        )

    def alert(self, index):
        if not self.told[index] and np.count_nonzero(self.told) < ALERTS_SHOWN:
            move = self.moves()[index]
            console.print(f"[yellow]ALERT[/] {self.tokens[index]:>10} {move:+.2f} %")
        self.told[index] = True

    def top(self, number):
        made = table(f"top movers of connection {number}", "instrument", "first", "last", "move")
        here = np.flatnonzero(self.connection == number)
        moves = self.moves()
        for index in here[np.argsort(-abs(moves[here]))[:5]]:
            prices = (f"{price:.2f}" for price in (self.first[index], self.last[index]))
            made.add_row(str(self.tokens[index]), *prices, f"{moves[index]:+.2f} %")
        console.print(made)


def main(instance, seconds):
    tokens = instrument_tokens(8000)
    with pipeline.attach(instance, wait_s=2) as market:
        scanner = Scanner(tokens)
        market.subscribe(tokens, mode="ltp")
        distribution(market, "8,000 instruments")
        for ticks in read(market, seconds):
            scanner.take(ticks)
        for connection in market.connections():
            scanner.top(connection.number)
        console.print(f"{scanner.count:,} ticks, {np.count_nonzero(scanner.told)} alerts")


if __name__ == "__main__":
    run(main, seconds=30)
