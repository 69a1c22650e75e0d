"""KiteTicker end to end: the simulated exchange in a process, KiteTicker in another."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from benchmarks.exchange import address, exchange_line, make_certificate
from benchmarks.harness.children import Children
from benchmarks.shape import Shape

_WARM_S: Final = 0.3
_START_S: Final = 30.0


class KiteTickerRun:
    """One connection of 3,000 instruments in mode full, in load mode as fast as it takes them."""

    def __init__(self, *, per_frame: int, tls: bool, seconds: float) -> None:
        self._shape = Shape(per_frame=per_frame, connections=1, tls=tls)
        self._seconds = seconds

    def measure(self) -> dict[str, float]:
        """Return M ticks/s and the CPU of KiteTicker's process per tick."""
        with tempfile.TemporaryDirectory() as name, Children() as children:
            folder = Path(name)
            tokens = folder / "tokens.txt"
            tokens.write_text("\n".join(map(str, self._shape.tokens(0))))
            found = children.result(
                [
                    "-m", "benchmarks.peers.kiteticker", self._exchange(children, folder),
                    str(tokens), str(_WARM_S), str(self._seconds),
                ],
                timeout_s=_START_S + self._seconds,
            )  # fmt: skip
        ticks = max(found["ticks"], 1)
        return {
            "rate": ticks / found["seconds"] / 1e6,
            "cpu": found["cpu_s"] * 1e9 / ticks,
        }

    def _exchange(self, children: Children, folder: Path) -> str:
        tls = self._shape.tls
        chain = make_certificate(folder)[1] if tls else None
        line = exchange_line(self._shape, chain=chain)
        return address(children.first_line(children.start(line, piped=True)), tls=tls)
