"""The gateway: how soon and how much, with clients that are no trouble and with some that are.

    [exchange] -> [feed] -> [decoder] -> [gateway] -> [20 to 2,000 clients, in one process]

A regression here makes every chart and script lag, or lets one client's stall reach another's. The
clients share the cores. Latency is from the return of the read that brought a tick's packet to the
client's callback, joined by instrument and volume with what a reader beside had; elsewhere it is
from the message's own stamp, in whole milliseconds. Peers send the same bytes in the same run.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any, Final

import numpy as np

import pipeline
from benchmarks.gateway import AHEAD_TICKS, GatewayRun, Symbol, ask_clients, joined_ages_ms
from benchmarks.harness.bench import Bench, Case, Quantity, Scenario
from benchmarks.harness.children import Asked
from benchmarks.harness.figure import OURS, Goal
from pipeline.core.errors import InstanceEnded

PICOWS: Final = "bare picows broadcast"
WEBSOCKETS: Final = "websockets broadcast"
GATHER: Final = "websockets, gather over sends"
_AHEAD: Final = {PICOWS: 0.85, WEBSOCKETS: 1.0, GATHER: 1.0}
QUOTE: Final = 2
CLIENTS: Final = 20
#: May wait for a client, in every server: more than the exchange is ahead of any client.
_BUFFER_BYTES: Final = AHEAD_TICKS * 1024
_ANSWER_S: Final = 60.0
_MIB: Final = 2**20


def group(
    count: int, symbols: list[list[Symbol]], *, kind: str = "fast", mode: int = QUOTE
) -> dict[str, Any]:
    """Return a group of clients, as their process takes it."""
    return {"count": count, "kind": kind, "mode": mode, "symbols": symbols}


# ---- latency ----------------------------------------------------------------------------------


class Observer:
    """A reader beside the gateway, in a thread: token, volume and receive time of every tick."""

    def __init__(self, run: GatewayRun) -> None:
        self._market = pipeline.attach(
            run.paths.name, shm_directory=run.paths.root, name="observer"
        )
        self._rows: list[Any] = []
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        try:
            for ticks in self._market.batches(timeout_s=0.1):
                fields = ("instrument_token", "volume_traded", "receive_mono_ns")
                self._rows.append(np.column_stack([ticks[f].astype(np.int64) for f in fields]))
        except InstanceEnded:
            return

    def end(self) -> Any:
        """Return what it saw."""
        self._market.stop()
        self._thread.join()
        self._market.close()
        return np.concatenate(self._rows)


def latency(bench: Bench) -> None:
    """Measure 20 clients that get 1,000 messages a second each."""
    seconds = bench.pick(tiny=0.3, quick=1.5, full=3.0)
    found: list[dict[str, float]] = []
    with GatewayRun(instruments=100, rate=1000.0, per_frame=1) as run:
        clients = run.clients(bench.children, group(CLIENTS, [run.symbols]))
        for _ in bench.rounds(bench.pick(tiny=1, quick=2, full=5)):
            file = run.folder / "messages.npz"
            observer = Observer(run)
            answer = clients.answer(f"window {seconds} {file}", timeout_s=_ANSWER_S)
            ages = joined_ages_ms(file, observer.end(), run.tokens)
            p50, p99 = np.percentile(ages, (50, 99)).tolist()
            found.append({"p50": p50, "p99": p99, "rate": answer["fast"]["per_s"]})
    name = f"socket read to callback, {CLIENTS} clients x 1,000 messages/s"
    for key, goal in (("p50", Goal(must=1.0, aim=0.5, floor=2.0)), ("p99", None)):
        quantity = Quantity(key=key, group=f"{name}, {key}", unit="ms", goal=goal)
        bench.note(quantity, OURS, [one[key] for one in found])
    bench.remarks.append(f"{name}: {max(one['rate'] for one in found):,.0f} messages/s came")


# ---- throughput ---------------------------------------------------------------------------------


class Delivery:
    """Messages that reach all clients, ours and the peers': the same ones, and none of them less.

    The exchange sends no more than the slowest client has had, so that nothing need be conflated;
    what the gateway sent is kept in a file first, which is what the peers broadcast.
    """

    def __init__(self, bench: Bench, run: GatewayRun) -> None:
        self._bench = bench
        self._run = run
        self._file = run.folder / "payloads"
        self._seconds = bench.pick(tiny=0.3, quick=1.5, full=3.0)
        self._clients: Asked
        self._begin()
        count = bench.pick(tiny=256, quick=2048, full=2048)
        self._clients.answer(f"keep {count} {self._file}", timeout_s=_ANSWER_S)
        self._leave()
        self.message_bytes = len(self._file.read_bytes()) // count

    def _begin(self) -> None:
        ours = group(CLIENTS, [self._run.symbols])
        self._clients = self._run.clients(self._bench.children, ours, ages=False)

    def _leave(self) -> None:
        """Stop the source; raise RuntimeError unless every client had every tick once."""
        missing = self._clients.answer("leave", timeout_s=_ANSWER_S)["missing"]
        self._clients.end()
        counts = self._run.counts()
        lost = {name: counts[f"messages_{name}"] for name in ("conflated", "dropped")}
        if missing or any(lost.values()):
            raise RuntimeError(f"clients miss {missing} messages, the gateway's counts say {lost}")

    def ours(self) -> dict[str, float]:
        """Return what the gateway delivered in a second."""
        self._begin()
        self._clients.answer("window 0.3", timeout_s=_ANSWER_S)
        cpu_s = sum(self._run.process.cpu_times()[:2])
        found = self._clients.answer(f"window {self._seconds}", timeout_s=_ANSWER_S)
        taken_s = sum(self._run.process.cpu_times()[:2]) - cpu_s
        self._leave()
        share = 100 * taken_s / self._seconds
        self._bench.remarks.append(f"ours: {share:.0f} % of a core for the gateway")
        return {"rate": float(found["fast"]["per_s"])}

    def peer(self, kind: str) -> dict[str, float]:
        """Return what a broadcast server delivered in a second."""
        children = self._bench.children
        line = ["-m", "benchmarks.peers.broadcast_server", kind, str(self._file), str(CLIENTS)]
        server = children.start([*line, str(_BUFFER_BYTES)], piped=True)
        port = children.first_line(server)
        spec = {"url": f"ws://127.0.0.1:{port}", "groups": [group(CLIENTS, [])]}
        clients = ask_clients(children, self._run.folder, spec)
        clients.answer("window 0.3", timeout_s=_ANSWER_S)
        found = clients.answer(f"window {self._seconds}", timeout_s=_ANSWER_S)
        children.stop(server)
        clients.end()
        return {"rate": float(found["fast"]["per_s"])}


def throughput(bench: Bench) -> None:
    """Measure messages that reach 20 clients, all of them, beside three broadcast servers."""
    with GatewayRun(instruments=100, rate=None, more=f"buffer_bytes = {_BUFFER_BYTES}") as run:
        delivery = Delivery(bench, run)
        peers = (
            (PICOWS, "picows", "picows"),
            (WEBSOCKETS, "websockets", "websockets"),
            (GATHER, "gather", "websockets"),
        )
        cases = [Case(name=OURS, measure=delivery.ours)] + [
            Case(name=said, measure=partial(delivery.peer, kind), package=package)
            for said, kind, package in peers
        ]
        quantity = Quantity(
            key="rate", unit="messages/s", higher_is_better=True, goal=Goal(ahead=_AHEAD),
            group=f"the same messages to {CLIENTS} clients, none left out",
        )  # fmt: skip
        bench.compare(cases, [quantity], rounds=bench.pick(tiny=1, quick=2, full=5))
        bench.remarks.append(
            f"messages of {delivery.message_bytes} bytes; ours come from an exchange by way of "
            "feed, decoder and gateway, the peers' from a file"
        )


# ---- clients that are trouble -------------------------------------------------------------------


def _crowd(bench: Bench, run: GatewayRun, seconds: float, *, trouble: bool) -> dict[str, Any]:
    # The exchange goes round in its order: what a client has is spread over the round.
    shares = [run.symbols[n % 66 :: 66][:45] for n in range(200)]
    groups = [group(bench.pick(tiny=8, quick=160, full=160), shares[:160]),
              group(1, [run.symbols], kind="large")]  # fmt: skip
    clients = [run.clients(bench.children, *groups)]
    some = bench.pick(tiny=2, quick=20, full=20)
    if trouble:
        clients.append(run.clients(
            bench.children, group(some, shares[160:180], kind="slow"),
            group(some, shares[180:], kind="stalled"),
        ))  # fmt: skip
    answers: list[dict[str, Any]] = []
    threads = [
        threading.Thread(
            target=lambda c=one: answers.append(
                c.answer(f"window {seconds}", timeout_s=_ANSWER_S + seconds)
            )
        )
        for one in clients
    ]
    cut_before, begun_s = run.counts()["cut_stalled"], time.monotonic()
    for thread in threads:
        thread.start()
    most, cut_s = 0, seconds
    while any(thread.is_alive() for thread in threads):
        most = max(most, run.process.memory_info().rss)
        if trouble and cut_s == seconds and run.counts()["cut_stalled"] - cut_before == some:
            cut_s = time.monotonic() - begun_s
        time.sleep(0.05)
    for one in clients:
        one.end()
    found = {kind: value for answer in answers for kind, value in answer.items()}
    return {**found, "rss": most, "cut_s": cut_s}


def crowd(bench: Bench) -> None:
    """Measure what 20 stalled and 20 slow clients cost the others."""
    seconds = bench.pick(tiny=3.0, quick=8.0, full=15.0)
    rate, count = bench.pick(tiny=(2000.0, 3000), quick=(20_000.0, 3000), full=(20_000.0, 3000))
    alone: list[dict[str, Any]] = []
    mixed: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    with GatewayRun(instruments=count, rate=rate) as run:
        for _ in bench.rounds(bench.pick(tiny=1, quick=2, full=3)):
            alone.append(_crowd(bench, run, seconds, trouble=False))
            mixed.append(_crowd(bench, run, seconds, trouble=True))
        counts = run.counts()
    name = "200 clients, 20 stalled and 20 slow, 20,000 ticks/s"
    for case, runs in ((f"{OURS}, without these", alone), (OURS, mixed)):
        for key, goal in (
            ("p50_ms", None), ("p99_ms", None), ("gap_ms", Goal(must=100, floor=250)),
        ):  # fmt: skip
            quantity = Quantity(key=key, group=f"{name}: {key}, fast", unit="ms", goal=goal)
            bench.note(quantity, case, [one["fast"][key] for one in runs])
    best = [min(one["fast"]["p99_ms"] for one in runs) for runs in (mixed, alone)]
    ratio = best[0] / max(best[1], 0.001)
    times = Quantity(
        key="", group=f"{name}: p99 against without", unit="times", goal=Goal(must=2, floor=4)
    )
    bench.note(times, OURS, [ratio])
    late = Quantity(
        key="", group=f"{name}: all stalled are cut", unit="s", goal=Goal(must=6, floor=8)
    )
    bench.note(late, OURS, [one["cut_s"] for one in mixed])
    stalled = sum(one["stalled"]["clients"] for one in mixed)
    slow = sum(len(one["slow"]["closed_s"]) for one in mixed)
    memory = Quantity(key="", group=f"{name}: memory", unit="MiB", goal=Goal(must=200, floor=200))
    bench.note(memory, OURS, [max(one["rss"] for one in alone + mixed) / _MIB])
    bench.remarks.append(
        f"{name}: {counts['cut_stalled']} cut as stalled of {stalled}; {slow} slow ones closed; "
        f"{counts['messages_conflated']:,} of {counts['messages_offered']:,} messages conflated"
    )


def flood(bench: Bench) -> None:
    """Measure what idle clients and connections without a key cost those who are served."""
    seconds = bench.pick(tiny=1.0, quick=8.0, full=20.0)
    idle = bench.pick(tiny=20, quick=2000, full=2000)
    with GatewayRun(instruments=1000, rate=2000.0, more="authenticate_within_s = 2.0") as run:
        before = run.process.num_fds()
        shares = [run.symbols[n::CLIENTS] for n in range(CLIENTS)]
        served = run.clients(bench.children, group(CLIENTS, shares))
        others = run.clients(
            bench.children, group(idle, [], kind="idle"), group(50, [], kind="flood")
        )
        time.sleep(bench.pick(tiny=0.0, quick=1.0, full=1.0))  # they are all here, and quiet
        done: list[Any] = []
        thread = threading.Thread(
            target=lambda: done.append(
                others.answer(f"window {seconds}", timeout_s=_ANSWER_S + seconds)
            )
        )
        thread.start()
        found = served.answer(f"window {seconds}", timeout_s=_ANSWER_S + seconds)["fast"]
        thread.join()
        counts = run.counts()
        for one in (served, others):
            one.end()
        deadline_s = time.monotonic() + _ANSWER_S
        while (after := run.process.num_fds()) > before and time.monotonic() < deadline_s:
            time.sleep(0.1)
    name = f"beside {idle:,} idle clients and 50 silent connects/s"
    for key, goal in (("p50_ms", None), ("p99_ms", Goal(must=50, floor=200)), ("gap_ms", None)):
        quantity = Quantity(key=key, group=f"{name}: {key}", unit="ms", goal=goal)
        bench.note(quantity, OURS, [found[key]])
    left = Quantity(
        key="", group=f"{name}: descriptors left", unit="files", goal=Goal(must=0, floor=0)
    )
    bench.note(left, OURS, [float(after - before)])
    bench.remarks.append(
        f"{name}: {counts['connects']:,} connections were made, {counts['clients']:,} at the end"
    )


SCENARIOS = [
    Scenario(
        name="gateway-latency", about="socket read to a client's callback, 20 x 1,000 messages/s",
        run=latency, seconds_max=60.0,
    ),
    Scenario(
        name="gateway-throughput", about="messages to 20 clients, beside three broadcast servers",
        run=throughput, seconds_max=90.0,
    ),
    Scenario(
        name="gateway-crowd", about="200 clients, 20 of them stalled and 20 slow", run=crowd,
        seconds_max=150.0,
    ),
    Scenario(
        name="gateway-flood", about="2,000 idle clients and 50 silent connects a second", run=flood,
        seconds_max=90.0,
    ),
]  # fmt: skip
