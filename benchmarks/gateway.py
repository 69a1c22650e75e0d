"""An instance with a gateway under measurement: the real main job, and clients in other processes.

[exchange] -> [feed] -> [decoder] -> [gateway] -> clients, all of a kind in one process
"""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import psutil

from benchmarks.harness.children import Asked, Children
from benchmarks.run import DEADLINE_S, SHARED_MEMORY
from pipeline.core.enums import SegmentKind, State
from pipeline.core.errors import SegmentError
from pipeline.core.instrument import Instrument
from pipeline.instruments.openalgo import openalgo_key
from pipeline.instruments.store import today_in_india, write_store
from pipeline.instruments.synthetic import LISTED, synthetic_instruments
from pipeline.services.keys import KeyStore
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.supervisor.launch import Launched, launch, wait_or_kill

INSTANCE: Final = "bench"
_CONFIG: Final = """
[instance]
name = "{instance}"
shm_directory = "{shm}"
log_level = "error"
[simulator]
instruments = {listed}
mode = "load"
rate = {rate}
packets_per_frame = {per_frame}
gate = "{gate}"
[[account]]
name = "main"
api_key = "demo"
url = "simulator"
[[connection]]
account = "main"
instruments_max = {count}
[[subscription]]
file = "tokens.txt"
mode = "full"
[rings]
packets_per_instrument_per_s = {packets}
tick_records = {records}
[instruments]
file = "list.sqlite"
[gateway]
port = 0
keys_file = "keys.sqlite"
{more}
"""

Symbol = tuple[str, str]

#: The reader that the exchange waits for when the rate is not given: all clients together.
_GATE: Final = "clients"
_GATED_RECORDS: Final = 1024
#: Ticks that the exchange is ahead of the slowest client at most: half a tick stream.
AHEAD_TICKS: Final = _GATED_RECORDS // 2
_TICK_RECORDS: Final = 16_384


class GatewayRun:
    """A context: an instance whose gateway answers. `rate` None: as fast as its clients receive."""

    def __init__(
        self, *, instruments: int, rate: float | None, per_frame: int = 100, more: str = ""
    ) -> None:
        self.count = instruments
        self._rate = '"max"' if rate is None else rate
        self._gate = _GATE if rate is None else ""
        self._records = _GATED_RECORDS if rate is None else _TICK_RECORDS
        self._per_frame = per_frame
        self._more = more
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            base = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
            shm = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base)))
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base)))
            self.paths = InstancePaths(INSTANCE, shm)
            self._write(shm)
            log = stack.enter_context((self.folder / "log").open("wb"))
            line = ["-m", "pipeline", "run", "--config", str(self.folder / "config.toml")]
            self.main = launch(line, die_with_parent=signal.SIGTERM, stdout=log, stderr=log)
            stack.callback(_end, self.main)
            self.page = self._wait_for_gateway()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _write(self, shm: Path) -> None:
        made = list(synthetic_instruments(today_in_india(), rows=LISTED))
        write_store(made, file=self.folder / "list.sqlite", source="simulated")
        found = list(islice((one for one in made if one.segment != "INDICES"), self.count))
        self.tokens = {_symbol(one): one.instrument_token for one in found}
        self.symbols = list(self.tokens)
        lines = "\n".join(str(one.instrument_token) for one in found)
        (self.folder / "tokens.txt").write_text(lines)
        self.key = KeyStore(self.folder / "keys.sqlite").add("bench", "main")
        (self.folder / "config.toml").write_text(
            _CONFIG.format(
                instance=INSTANCE, shm=shm, listed=LISTED, rate=self._rate, gate=self._gate,
                per_frame=self._per_frame, count=self.count, more=self._more,
                # Frame rings that hold what the gate lets ahead, however few instruments.
                packets=max(10.0, 24_000 / self.count), records=self._records,
            )
        )  # fmt: skip

    def _wait_for_gateway(self) -> StatusPage:
        deadline_s = time.monotonic() + DEADLINE_S
        path = self.paths.segment(SegmentKind.GATEWAY_STATUS)
        while True:
            with suppress(FileNotFoundError, SegmentError):  # it is being made
                page = StatusPage(Segment.attach(path, SegmentKind.GATEWAY_STATUS))
                if int(page.head["state"]) == State.LIVE:
                    return page
            if self.main.poll() is not None or time.monotonic() > deadline_s:
                said = (self.folder / "log").read_text(errors="replace")
                raise RuntimeError(f"the gateway does not serve; the processes said:\n{said}")
            time.sleep(0.02)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://127.0.0.1:{int(self.page.record['port'])}"

    def clients(self, children: Children, *groups: Mapping[str, Any], ages: bool = True) -> Asked:
        """Start a process of clients; return it when all have what they asked for."""
        spec = {"url": self.url, "key": self.key, "groups": groups, "ages": ages}
        if self._gate:
            shm = self.paths.root
            spec["gate"] = {"directory": str(shm), "instance": INSTANCE, "name": self._gate}
        return ask_clients(children, self.folder, spec)

    def counts(self) -> dict[str, int]:
        """Return what the gateway's page says."""
        record = self.page.record.copy()
        names = record.dtype.names or ()
        return {name: int(record[name]) for name in names if record.dtype[name].shape == ()
                and record.dtype[name].kind == "u"}  # fmt: skip

    @property
    def process(self) -> psutil.Process:
        """The gateway's process."""
        return psutil.Process(int(self.page.head["pid"]))


def ask_clients(children: Children, folder: Path, spec: Mapping[str, Any]) -> Asked:
    """Start a process of clients by what it is to do."""
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".json", delete=False) as file:
        json.dump(spec, file)
    return children.ask(["-m", "benchmarks.peers.gateway_clients", file.name])


def _symbol(instrument: Instrument) -> Symbol:
    exchange, _, symbol = openalgo_key(instrument).partition(":")
    return exchange, symbol


def _end(process: Launched) -> None:
    if process.poll() is None:
        process.terminate()
        wait_or_kill(process, DEADLINE_S)


def joined_ages_ms(file: Path, observed: np.ndarray[Any, Any], tokens: Mapping[Symbol, int]) -> Any:
    """Return how old each message of a file was in ms: client's callback minus the socket's read.

    observed: (token, volume, receive monotonic ns) of every tick, as a reader beside had them.
    """
    with np.load(file) as kept:
        keys, volumes, times = kept["keys"], kept["volumes"], kept["times"]
    received = {(int(t), int(v)): int(ns) for t, v, ns in observed.tolist()}
    token_of = {f"{exchange}:{symbol}": token for (exchange, symbol), token in tokens.items()}
    found = [
        now - received[token_of[key], volume]
        for key, volume, now in zip(keys.tolist(), volumes.tolist(), times.tolist(), strict=True)
        if (token_of[key], volume) in received
    ]
    return np.array(found) / 1e6
