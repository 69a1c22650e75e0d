"""`demo gateway`: an exchange and a gateway, and OpenAlgo's own SDK as their client. Floor 6.

The client is the program in `examples/gateway`, which knows nothing of this pipeline; it gets the
gateway's address, and by its environment a key that is good for this demo alone.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pipeline.cli.demo.scene import END_SECONDS, Scene, summary_of
from pipeline.cli.demo.stage import START_DEADLINE_S, wait_until
from pipeline.core.enums import SegmentKind, State
from pipeline.core.errors import PipelineError
from pipeline.instruments.store import today_in_india, write_store
from pipeline.instruments.synthetic import synthetic_instruments
from pipeline.services.keys import KeyStore
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment

NAME: Final = "gateway"
PROGRAM: Final = Path(__file__).parents[3] / "examples" / "gateway" / "openalgo_client.py"
KEY_VARIABLE: Final = "OPENALGO_API_KEY"

_ACCOUNT: Final = "exchange"
_KEYS: Final = "keys.sqlite"
_LIST: Final = "instruments.sqlite"
#: As many as the exchange lists.
_LISTED: Final = 9000
#: What the demo changes in the example's config: everything of its own, and a port that is free.
_MORE: Final = f'port = 0\nkeys_file = "{_KEYS}"\n\n[instruments]\nfile = "{_LIST}"\n'
_PACKAGES: Final = ("picows", "openalgo")


def summary() -> str:
    """Return what the demo shows, in a line."""
    return summary_of(PROGRAM)


class GatewayScene(Scene):
    """A context: inside it an exchange, its pipeline and a gateway run."""

    def __init__(self) -> None:
        require_packages()
        super().__init__(PROGRAM)

    def config_text(self) -> str:
        """Return the example's config under this demo's name, and with what else is its own."""
        return super().config_text() + _MORE

    def line(self, seconds: float | None) -> list[str]:
        """Return the client's command line."""
        url = f"ws://127.0.0.1:{int(self._page().record['port'])}"
        return [str(PROGRAM), url, f"{END_SECONDS if seconds is None else seconds:g}"]

    def environment(self) -> dict[str, str]:
        """Return the key, which is no argument: those are for everybody to see."""
        return {KEY_VARIABLE: KeyStore(self.folder / _KEYS).add("demo", _ACCOUNT)}

    def _start(self) -> None:
        instruments = synthetic_instruments(today_in_india(), rows=_LISTED)
        write_store(instruments, file=self.folder / _LIST, source="simulated")
        super()._start()
        wait_until(self._serves, deadline_s=START_DEADLINE_S, what="the gateway to serve")

    def _page(self) -> StatusPage:
        kind = SegmentKind.GATEWAY_STATUS
        return StatusPage(Segment.attach(self.paths.segment(kind), kind))

    def _serves(self) -> bool:
        self.require_alive()
        return int(self._page().head["state"]) == State.LIVE


def require_packages() -> None:
    """Raise PipelineError, in a line that says what to install, if a package is missing."""
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        needs = " and ".join(missing)
        raise PipelineError(
            f"demo {NAME} needs {needs}, not installed here: "
            f"{sys.executable} -m pip install {' '.join(missing)}"
        )
