"""What the examples of this folder share: their arguments, reading for a while, and two tables."""

import sys
import time
from collections import Counter

from rich.console import Console
from rich.table import Table

import pipeline

console = Console(highlight=False)


def run(main, *, seconds):
    """Call main(instance, seconds) with what the command line says."""
    instance = sys.argv[1] if len(sys.argv) > 1 else "pool"
    try:
        main(instance, float(sys.argv[2]) if len(sys.argv) > 2 else seconds)
    except pipeline.PipelineError as error:  # there is no such instance, or it has ended
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def table(title, *columns):
    """Return an empty table; a column whose name begins with < is flush left."""
    gap = 2 if console.width >= 72 else 1
    made = Table(title=title, title_justify="left", box=None, padding=(0, gap, 0, 0))
    for name in columns:
        made.add_column(name.lstrip("<"), justify="left" if name.startswith("<") else "right")
    return made


def read(market, seconds):
    """Yield batches of ticks for so long; an empty one when there is nothing for a while."""
    end_s = time.monotonic() + seconds
    for ticks in market.batches(timeout_s=0.1):
        yield ticks
        if time.monotonic() >= end_s:
            return


def settle(market, timeout_s=30.0):
    """Wait until all that this market wants has ticked in its mode; return the statistics.

    It holds for the only client of a pool, as the market of an example is.
    """
    wanted = Counter(market.wants().values())
    end_s = time.monotonic() + timeout_s
    while True:
        stats = market.stats()
        sets = {stats["pool"][name] for name in ("desired", "assigned", "wire", "confirmed")}
        if sets == {wanted.total()} and wanted == modes_of(stats) or time.monotonic() >= end_s:
            return stats
        time.sleep(0.02)


def modes_of(stats):
    """Return how many instruments there are in each mode, on all connections."""
    found = Counter()
    for account in stats["accounts"].values():
        for connection in account.get("connections", ()):
            found.update(connection["modes"])
    return found


def distribution(market, title):
    """Print which connection carries how much, once all of it ticks; return the statistics."""
    stats = settle(market)
    made = table(title, "<account", "connection", "instruments", "ltp", "quote", "full", "room")
    for name, account in stats["accounts"].items():
        for found in account.get("connections", ()):
            modes = (str(found["modes"][mode]) for mode in ("ltp", "quote", "full"))
            made.add_row(
                name, str(found["connection_id"]), str(found["subscribed_tokens"]), *modes,
                str(found["available_capacity"]),
            )  # fmt: skip
    console.print(made if made.rows else f"{title}: no connection, as nothing is wanted")
    return stats
