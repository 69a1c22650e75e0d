"""WebSocket frames off a socket as fast as they come: CPU of one frame, plain and over TLS.

    [server process] -> loopback -> [client process: read, check, split, into the frame ring]

A regression here is CPU of every feed process. CPU time of the client's process from the first
frame to the last; ours copies each frame into the ring in shared memory and rings the bell, the
peers are asked for the payload and throw it away (picows is asked for its size alone). The server
sends without a pause, so every read finds much; on loopback a part of the kernel's work is done
in the sender's name, for all alike.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.exchange import CERTIFICATES_NEED, make_certificate
from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.children import Asked
from benchmarks.harness.figure import OURS, Goal

#: Case, kind, package.
CONTENDERS = (
    (OURS, "pipeline", None),
    ("picows", "picows", "picows"),
    ("websocket-client", "websocket-client", "websocket"),
    ("websockets", "websockets", "websockets"),
)
_AHEAD = {"picows": 1.0}
#: us of CPU a frame, by TLS and size.
GOALS = {
    (False, 2048): Goal(must=0.6, aim=0.25, ahead=_AHEAD),
    (False, 200): Goal(must=0.2, aim=0.06, ahead=_AHEAD),
    (False, 20_480): Goal(),
    (True, 2048): Goal(must=1.6, aim=1.45),
    (True, 200): Goal(must=0.25, aim=0.15),
    (True, 20_480): Goal(),
}


def _connect(bench: Bench, kind: str, size: int, files: tuple[Path, Path] | None) -> Asked:
    line = ["-m", "benchmarks.frame_server", str(size)] + ([str(files[1])] if files else [])
    server = bench.children.start(line, piped=True)
    url = f"{'wss' if files else 'ws'}://localhost:{bench.children.first_line(server)}"
    more = [str(files[0])] if files else []
    return bench.children.ask(["-m", "benchmarks.peers.websocket_reader", kind, url, *more])


def _measure(client: Asked, seconds: float) -> dict[str, float]:
    found = client.answer(str(seconds), timeout_s=30)
    return {
        "cpu": found["cpu_s"] / found["frames"] * 1e6,
        "rate": found["frames"] / found["seconds"] / 1e3,
    }


def run(bench: Bench, *, size: int, tls: bool, goal: Goal) -> None:
    """Measure one size; each client keeps its connection, and they read in turn."""
    with ExitStack() as stack:
        files = None
        if tls:
            if not bench.has(CERTIFICATES_NEED, "TLS"):
                return
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            files = make_certificate(folder)
        seconds = bench.pick(tiny=0.02, quick=0.2, full=0.4)
        cases = []
        for name, kind, package in CONTENDERS:
            if package is None or bench.has(package, name):
                client = _connect(bench, kind, size, files)
                cases.append(Case(name=name, measure=partial(_measure, client, seconds)))
        group = f"WebSocket read{' over TLS' if tls else ''}, {size:,} B"
        quantities = [
            Quantity(key="cpu", group=group, unit="us/frame, CPU", goal=goal),
            Quantity(
                key="rate", group=f"{group}: frames/s", unit="k frames/s", higher_is_better=True
            ),
        ]
        bench.compare(cases, quantities, rounds=bench.pick(tiny=1, quick=3, full=7))


SCENARIOS = [
    Scenario(
        name=f"websocket{'-tls' if tls else ''}-{size}",
        about=f"read into the frame ring, frames of {size:,} B{' over TLS' if tls else ''}",
        run=partial(run, size=size, tls=tls, goal=goal),
    )
    for (tls, size), goal in GOALS.items()
]
