"""The demo's page: whether there can be one, what it needs, and its address. Floor 6."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pipeline.cli.demo.options import DemoOptions
from pipeline.cli.demo.scenario import LIST_NAME, can_have_page
from pipeline.core.control import Act
from pipeline.core.errors import ControlUnavailable
from pipeline.core.extras import EXTRA_OF
from pipeline.instruments.store import today_in_india, write_store
from pipeline.instruments.synthetic import synthetic_instruments
from pipeline.shm.names import InstancePaths
from pipeline.strategy.control_client import ControlClient

_EXTRAS: Final = ("api", "gateway")
_CLIENT: Final = "demo"
PATIENCE_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.02


def has_page(options: DemoOptions) -> bool:
    """Whether this run can be seen in a browser: by its options, and what is installed."""
    packages = [package for package, extra in EXTRA_OF.items() if extra in _EXTRAS]
    return can_have_page(options) and all(map(find_spec, packages))


def write_list(folder: Path, options: DemoOptions) -> None:
    """Write the names of the exchange's instruments, for the page's watch list."""
    listed = synthetic_instruments(today_in_india(), rows=options.instruments)
    write_store(listed, file=folder / LIST_NAME, source="simulated")


def page_address(paths: InstancePaths, *, patience_s: float = PATIENCE_S) -> str:
    """Return an address that lets a browser in, once; nothing when none is to be had in time.

    The pool has connections, and so ticks, a moment before it can be asked.
    """
    end = time.monotonic() + patience_s
    while True:
        try:
            with ControlClient(paths.control_socket, client=_CLIENT) as client:
                client.hello()
                return str(client.request(Act(action="enter"))["url"])
        except ControlUnavailable:
            if time.monotonic() > end:
                return ""
            time.sleep(_LOOK_AGAIN_S)
