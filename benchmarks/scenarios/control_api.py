"""How soon the control process answers over HTTP while 100,000 ticks/s flow.

    [exchange] -> 3 x [feed] -> [decoder] -> [strategy]
                     [control: HTTP] <-> [caller: one request after the other]

A regression here makes dashboards and operators wait, or means that a document holds up the pool's
own turns. Statistics, health, a page of 1,000 subscriptions, metrics and a change of ten modes, in
turn, over one kept-alive connection; from the request to the answer's last byte. The best round is
judged: one foreign time slice in a round makes its p99.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from benchmarks.harness.bench import Bench, Quantity, Scenario
from benchmarks.harness.figure import OURS, Goal
from benchmarks.run import PipelineRun, Shape
from pipeline.core.control import Hello, read_answer, to_line
from pipeline.core.local_socket import connect_local

RATE: Final = 100_000.0
CLIENT: Final = "bench"
_TIMEOUT_S: Final = 30.0


class Caller:
    """One kept-alive connection to an instance's API."""

    def __init__(self, pipeline: PipelineRun) -> None:
        with connect_local(pipeline.paths.control_socket, timeout_s=_TIMEOUT_S) as sock:
            sock.sendall(to_line(Hello(client=CLIENT)))
            with sock.makefile("rb") as lines:
                address = read_answer(lines.readline()).result["api"]
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=_TIMEOUT_S
        )
        kept = pipeline.paths.secrets / "api-token"
        pipeline.wait_for(kept.exists, "the API's token")  # it listens on its socket before
        token = kept.read_text().strip()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None) -> int:
        """Return the status of an answer, once all of it is there."""
        content = None if body is None else json.dumps(body)
        try:
            return self._ask(method, path, content)
        except ConnectionError:  # the server ends what was idle for long, as on a stalled machine
            self._connection.close()
            return self._ask(method, path, content)

    def _ask(self, method: str, path: str, content: str | None) -> int:
        self._connection.request(method, path, content, self._headers)
        response = self._connection.getresponse()
        response.read()
        return response.status

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


def requests(tokens: list[int]) -> Iterator[tuple[str, str, Any]]:
    """Yield what is asked, round and round."""
    change = {"client": f"{CLIENT}-http", "instruments": tokens[:10]}
    while True:
        yield "GET", "/advanced/websocket-pool/stats", None
        yield "GET", "/health", None
        yield "GET", "/subscriptions?limit=1000", None
        yield "GET", "/metrics", None
        yield "POST", "/subscriptions", {**change, "mode": "full"}


def _round(caller: Caller, tokens: list[int], count: int) -> dict[str, float]:
    taken_ns = []
    for _, (method, path, body) in zip(range(count), requests(tokens), strict=False):
        begun_ns = time.perf_counter_ns()
        status = caller.ask(method, path, body)
        taken_ns.append(time.perf_counter_ns() - begun_ns)
        if status != 200:
            raise RuntimeError(f"{method} {path} was answered with {status}")
    found = np.percentile(np.array(taken_ns) / 1e6, (50, 99), method="higher")
    return dict(zip(("p50", "p99"), found.tolist(), strict=True))


def run(bench: Bench) -> None:
    """Ask a pipeline under load."""
    shape = Shape(per_frame=100, rate=bench.pick(tiny=10_000.0, quick=RATE, full=RATE), pooled=True)
    count = bench.pick(tiny=20, quick=300, full=1000)
    with PipelineRun(shape) as pipeline:
        caller = Caller(pipeline)
        pipeline.wait_for(lambda: caller.ask("GET", "/clients") == 200, "the API")
        _round(caller, shape.tokens(0), 20)  # the first answers make what later ones find
        found = [
            _round(caller, shape.tokens(0), count)
            for _ in bench.rounds(bench.pick(tiny=1, quick=2, full=5))
        ]
        caller.close()
        pipeline.watch(warm_s=0.0, seconds=bench.pick(tiny=0.2, quick=1.0, full=2.0))
        window = pipeline.finish(counted=False)[0]
    group = f"HTTP API beside {shape.rate:,.0f} ticks/s"
    for name, goal in (("p50", None), ("p99", Goal(must=20))):
        quantity = Quantity(key=name, group=f"{group}, {name}", unit="ms", goal=goal)
        bench.note(quantity, OURS, [one[name] for one in found])
    bench.remarks.append(f"{group}: {window.ticks_per_s:,.0f} ticks/s were delivered right after")


SCENARIOS = [Scenario(name="control-api", about="HTTP answers while 100,000 ticks/s flow", run=run)]
