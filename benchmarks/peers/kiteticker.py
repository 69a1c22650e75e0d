"""KiteTicker as its users run it: connect to an exchange on loopback, subscribe, count in on_ticks.

    python -m benchmarks.peers.kiteticker URL TOKENS_FILE WARM_S SECONDS

The key is the exchange's demo key; prints ticks, frames, CPU and seconds of the window as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from kiteconnect import KiteTicker

KEY = "demo"


class Count:
    """What on_ticks has seen."""

    def __init__(self) -> None:
        self.ticks = self.frames = 0
        self.began = threading.Event()

    def take(self, _ticker: Any, ticks: list[Any]) -> None:
        """Be on_ticks."""
        self.ticks += len(ticks)
        self.frames += 1
        self.began.set()

    def look(self) -> dict[str, float]:
        """Return the counts with the clocks."""
        return {
            "ticks": self.ticks, "frames": self.frames, "cpu_s": time.process_time(),
            "seconds": time.monotonic(),
        }  # fmt: skip


def main() -> None:
    """Measure one window."""
    url, file, warm_s, seconds = sys.argv[1], Path(sys.argv[2]), *map(float, sys.argv[3:5])
    tokens = [int(line) for line in file.read_text().split()]
    count = Count()
    ticker = KiteTicker(KEY, KEY, root=url)

    def subscribe(found: Any, _response: Any) -> None:
        found.subscribe(tokens)
        found.set_mode(found.MODE_FULL, tokens)

    ticker.on_connect = subscribe
    ticker.on_ticks = count.take
    ticker.connect(threaded=True, disable_ssl_verification=True)  # a certificate of our own
    if not count.began.wait(30):
        sys.exit("no tick came")
    time.sleep(warm_s)
    before = count.look()
    time.sleep(seconds)
    after = count.look()
    ticker.stop_retry()
    print(json.dumps({key: after[key] - before[key] for key in before}))


if __name__ == "__main__":
    main()
