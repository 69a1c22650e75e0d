"""KiteTickers that live: threads, event loops, notebooks, slow and wrong user code, and the end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.core.enums import SegmentKind
from pipeline.core.errors import CapacityError, InstanceError
from pipeline.kite import KiteTicker
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.sim.market import instrument_tokens
from tests.conftest import leftovers, wait_until
from tests.sim.harness import Simulator, simulator
from tests.system.rig import Run
from tests.system.test_pool import wire_of

ROOT = Path(__file__).parents[2]
PATIENCE_S = 40.0
Make = Callable[..., KiteTicker]


class Heard:
    """What a ticker has called back, counted and kept."""

    def __init__(self, ticker: KiteTicker, **modes: list[int]) -> None:
        self.ticks: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.modes = modes
        ticker.on_connect = self._on_connect
        ticker.on_ticks = lambda ws, ticks: self.ticks.extend(ticks)
        ticker.on_close = lambda ws, code, reason: self.calls.append(f"close {code}")

    def _on_connect(self, ws: KiteTicker, response: object) -> None:
        self.calls.append("connect")
        for mode, tokens in self.modes.items():
            ws.subscribe(tokens)
            ws.set_mode(mode, tokens)

    def has(self, token: int, mode: str) -> bool:
        return any(t["instrument_token"] == token and t["mode"] == mode for t in self.ticks[-60:])


def wait_for(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, timeout_s=PATIENCE_S, what=what)


def url(exchange: Simulator) -> str:
    return f"ws://127.0.0.1:{exchange.port}"


def test_twice_in_one_interpreter_and_side_by_side(
    exchange: Simulator, make_ticker: Make, shm_root: Path
) -> None:
    one, two = make_ticker(url(exchange)), make_ticker(url(exchange), connections=2)
    heard_one, heard_two = Heard(one, full=[408065]), Heard(two, ltp=[738561, 265, 256265])
    one.connect(threaded=True)
    two.connect(threaded=True)
    wait_for(lambda: heard_one.has(408065, "full"), "ticks of the first")
    for token in (738561, 265, 256265):
        wait_for(lambda token=token: heard_two.has(token, "ltp"), "ticks of the second")
    names = {path.name for path in next(shm_root.iterdir()).iterdir()}
    assert names == {f"kite-{os.getpid()}", f"kite-{os.getpid()}-2"}
    one.connect(threaded=True)  # it is connected: a warning, and nothing else
    assert len(list(next(shm_root.iterdir()).iterdir())) == 2

    one.stop()
    one.connect(threaded=True)  # waits for the end of the first life
    count = len(heard_one.ticks)
    # The first come in the mode of the subscription, before the one that was set.
    wait_for(
        lambda: [tick["mode"] for tick in heard_one.ticks[count + 5 :][-2:]] == ["full"] * 2,
        "ticks of the second life, in their mode",
    )
    assert heard_one.calls == ["connect", "close 1006", "connect"]
    assert one.is_connected()


def test_subscriptions_change_while_it_runs(exchange: Simulator, make_ticker: Make) -> None:
    ticker = make_ticker(url(exchange))
    heard = Heard(ticker, quote=[408065])
    ticker.connect(threaded=True)
    wait_for(lambda: heard.has(408065, "quote"), "a tick in mode quote")
    assert ticker.set_mode(ticker.MODE_FULL, [408065]) is True
    assert ticker.subscribe([738561]) is True
    wait_for(lambda: heard.has(408065, "full") and heard.has(738561, "quote"), "both")
    assert ticker.subscribe([408065, 738561]) is True  # as exchanges take it: no mode changes
    assert ticker.subscribed_tokens == {408065: "full", 738561: "quote"}
    assert ticker.unsubscribe([408065, 999]) is True
    wait_for(lambda: not heard.has(408065, "full"), "no more ticks of the one")
    assert ticker.subscribed_tokens == {738561: "quote"}
    ticker.resubscribe()
    with pytest.raises(CapacityError, match="3001 instruments, and 1 connection carries 3000"):
        ticker.subscribe(range(1, 3001))
    assert ticker.subscribed_tokens == {738561: "quote"}
    ticker.close()
    wait_for(lambda: heard.calls == ["connect", "close None"], "the orderly end")
    assert not ticker.is_connected()


def test_a_new_token_is_swapped_in_by_the_socket_url(
    exchange: Simulator, make_ticker: Make
) -> None:
    ticker = make_ticker(url(exchange), token="of-yesterday")
    heard = Heard(ticker, full=[408065])
    rejected = threading.Event()
    ticker.on_noreconnect = lambda ws: rejected.set()
    ticker.connect(threaded=True)
    assert rejected.wait(PATIENCE_S)
    assert not ticker.is_connected()
    ticker.socket_url = f"{url(exchange)}?api_key=demo&access_token=demo&user_id=AB1234"
    ticker.connect(threaded=True)
    wait_for(lambda: heard.has(408065, "full"), "ticks")
    assert heard.calls == ["close 1006", "connect"]


def test_inside_a_running_event_loop(exchange: Simulator, make_ticker: Make) -> None:
    ticker = make_ticker(url(exchange))

    async def main() -> int:
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Any]()
        Heard(ticker, full=[408065])
        ticker.on_ticks = lambda ws, ticks: loop.call_soon_threadsafe(queue.put_nowait, ticks)
        ticker.connect(threaded=True)
        for _ in range(5):
            ticks = await asyncio.wait_for(queue.get(), PATIENCE_S)
        return int(ticks[0]["instrument_token"])

    assert asyncio.run(main()) == 408065


def test_what_a_callback_raises_costs_nothing(
    exchange: Simulator, make_ticker: Make, caplog: pytest.LogCaptureFixture
) -> None:
    ticker = make_ticker(url(exchange))
    heard = Heard(ticker, full=[408065])
    count = 0

    def on_ticks(ws: KiteTicker, ticks: object) -> None:
        nonlocal count
        count += 1
        raise ZeroDivisionError("in user code")

    ticker.on_ticks = on_ticks
    ticker.connect(threaded=True)
    wait_for(lambda: count > 100, "a hundred calls")
    assert heard.calls == ["connect"]
    told = [record for record in caplog.records if "on_ticks raised" in record.message]
    assert 1 <= len(told) < count / 2
    assert told[0].exc_info is not None and told[0].exc_info[0] is ZeroDivisionError


def test_a_blocked_callback_slows_nobody_and_is_told(
    tmp_path: Path, make_ticker: Make, shm_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()
    with simulator(tmp_path, "--mode", "load", "--rate", "60000", "--instruments", "50") as load:
        ticker = make_ticker(url(load))
        heard = Heard(ticker, ltp=[408065, 738561, 265])
        ticker.on_ticks = lambda ws, ticks: go_on.wait(PATIENCE_S)
        ticker.connect(threaded=True)
        paths = InstancePaths(f"kite-{os.getpid()}", shm_root)
        ring = Segment.attach(paths.segment(SegmentKind.TICKS, 0), SegmentKind.TICKS)
        control = ring.record("RingControlC")
        wait_for(lambda: int(control["tail"]) > 2 * ring.capacity, "a stream that has gone on")
        go_on.set()
        wait_for(lambda: "on_ticks is too slow" in caplog.text, "the warning")
        assert heard.calls == ["connect"]
        ticker.stop()
        assert ticker.websocket_thread is not None
        ticker.websocket_thread.join(PATIENCE_S)


def test_it_attaches_to_an_instance_that_runs(
    tmp_path: Path, make_ticker: Make, shm_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path, shm_root, connections=3, count=2)
    try:
        run.start_and_wait()
        ticker = make_ticker("wss://nowhere", token="other-token", instance="system")
        errors: list[str] = []
        full, quote, ltp = (instrument_tokens(6)[first : first + 2] for first in (0, 2, 4))
        heard = Heard(ticker, full=[full[0], ltp[1], 5], ltp=[quote[0], ltp[0]])
        ticker.on_error = lambda ws, code, reason: errors.append(f"{code} {reason}")
        ticker.connect(threaded=True)
        wait_for(lambda: heard.has(full[0], "full") and heard.has(ltp[0], "ltp"), "its ticks")
        wait_for(lambda: heard.has(quote[0], "quote"), "what it streams in another mode")
        assert {tick["instrument_token"] for tick in heard.ticks} <= {full[0], quote[0], *ltp}
        assert "the one given here is ignored" in caplog.text
        assert errors == [
            "0 instance system does not stream 1 of these instruments (5): add them to "
            "[[subscription]] instruments in its config",
            f"0 instance system streams 1 of these instruments ({ltp[1]}) in mode ltp, not full: "
            "change [[subscription]] mode in its config",
        ]
        more = f"({quote[0]}) in mode quote, not ltp: change [[subscription]] mode in its config"
        assert caplog.text.count(more) == 1
        run.stop()
        wait_for(lambda: "close 1006" in heard.calls, "the end")
    finally:
        run.close()


def is_wire_empty(run: Run) -> bool:
    try:
        return wire_of(run) == {}
    except FileNotFoundError:  # a connection is being taken away just now
        return False


def test_it_asks_a_pool_for_what_it_wants(
    tmp_path: Path, make_ticker: Make, shm_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path, shm_root, pool="instruments_per_connection = 2\nheadroom = 0.0")
    try:
        run.start_and_wait()
        one, two, three = instrument_tokens(3)
        ticker = make_ticker("wss://nowhere", token="", instance="system")
        heard = Heard(ticker, full=[one, two])
        ticker.connect(threaded=True)
        wait_for(lambda: heard.has(one, "full") and heard.has(two, "full"), "ticks of the two")
        ticker.subscribe([three])  # on another connection, which is not there yet
        wait_for(lambda: heard.has(three, "quote"), "ticks of the third")
        ticker.subscribe([one])
        assert ticker.subscribed_tokens[one] == "full"
        with pytest.raises(CapacityError):
            ticker.subscribe(instrument_tokens(9))
        assert set(ticker.subscribed_tokens) == {one, two, three}
        ticker.unsubscribe([one, two, three])
        wait_for(lambda: is_wire_empty(run), "an empty wire")
        assert heard.calls == ["connect"]
        assert "[[subscription]]" not in caplog.text
        assert run.stop() == 0
        wait_for(lambda: "close 1006" in heard.calls, "the end")
    finally:
        run.close()


def test_an_instance_that_cannot_start_says_why(
    exchange: Simulator, make_ticker: Make, tmp_path: Path
) -> None:
    ticker = make_ticker(url(exchange))
    ticker._shm_directory = tmp_path / "nowhere"
    with pytest.raises(InstanceError, match="did not start: .*nowhere: No such file"):
        ticker.connect()


# ---- programs of their own ---------------------------------------------------------------------

PROGRAM = """
import logging, os, sys, threading, time
from pipeline.kite import KiteTicker

logging.basicConfig(level=logging.DEBUG)
kws = KiteTicker("demo2", "demo2", root=sys.argv[1], shm_directory=sys.argv[2], debug=True)

def on_connect(ws, response):
    ws.subscribe([408065])

def on_ticks(ws, ticks):
    if not os.environ.get("told"):
        os.environ["told"] = "yes"
        print("ticks", flush=True)

kws.on_connect, kws.on_ticks = on_connect, on_ticks
kws.on_close = lambda ws, code, reason: print("close", code, flush=True)
{rest}
"""
BLOCKING = "kws.connect()\nprint('returned', flush=True)"
BUSY = """
def on_ticks(ws, ticks):  # as many scripts have it: whatever is raised in there is lost
    print("in", flush=True)
    try:
        time.sleep(2)
        print("out", flush=True)
    except:
        print("torn", flush=True)

kws.on_ticks = on_ticks
kws.connect()
print('returned', flush=True)
"""
THREADED = "kws.connect(threaded=True)\nwhile not os.environ.get('told'): time.sleep(0.01)"
NOTEBOOK = """
# As a kernel does it: an event loop in the main thread, which runs one cell after the other.
import asyncio

cells = [
    "kws.connect(threaded=True)",
    "assert asyncio.get_running_loop().is_running()",
    "while not os.environ.get('told'): time.sleep(0.01)",
    "kws.stop(); kws.websocket_thread.join()",
    "del os.environ['told']; kws.connect()",  # blocks its cell until the kernel is interrupted
    "print('next cell', flush=True)",
]

async def kernel():
    names = globals()
    for cell in cells:
        await asyncio.sleep(0)
        exec(compile(cell, "<cell>", "exec"), names)

# ipykernel, too, leaves SIGINT to Python while a cell runs.
loop = asyncio.new_event_loop()
loop.run_until_complete(kernel())
loop.close()
"""


@contextmanager
def program(rest: str, exchange: Simulator, shm_root: Path) -> Iterator[subprocess.Popen[str]]:
    line = [sys.executable, "-c", PROGRAM.format(rest=rest), url(exchange), str(shm_root)]
    with subprocess.Popen(
        line, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def pipeline_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_nothing_left(members: list[psutil.Process], shm_root: Path) -> None:
    wait_for(lambda: not any(m.is_running() for m in members), "its processes to end")
    wait_for(lambda: leftovers(shm_root) == [], "its files to vanish")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_blocking_connect(
    number: signal.Signals, exchange: Simulator, shm_root: Path
) -> None:
    with program(BLOCKING, exchange, shm_root) as process:
        assert line_of(process) == "ticks"
        members = pipeline_of(process)
        assert len(members) >= 3
        process.send_signal(number)
        output, errors = process.communicate(timeout=PATIENCE_S)
        assert (output, process.returncode) == ("close 1006\nreturned\n", 0)
        assert "Traceback" not in errors
    assert_nothing_left(members, shm_root)


def test_ctrl_c_does_not_tear_a_callback(exchange: Simulator, shm_root: Path) -> None:
    with program(BUSY, exchange, shm_root) as process:
        assert line_of(process) == "in"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_S)
    assert output.endswith("out\nclose 1006\nreturned\n") and "torn" not in output, output
    assert process.returncode == 0, errors


def test_a_program_that_ends_takes_its_pipeline_with_it(
    exchange: Simulator, shm_root: Path
) -> None:
    with program(THREADED, exchange, shm_root) as process:
        members = []
        if line_of(process) == "ticks":
            members = pipeline_of(process) if process.poll() is None else []
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, errors
    assert_nothing_left(members, shm_root)


def test_a_killed_program_takes_its_pipeline_with_it(exchange: Simulator, shm_root: Path) -> None:
    with program(BLOCKING, exchange, shm_root) as process:
        assert line_of(process) == "ticks"
        members = pipeline_of(process)
        for member in members:
            # A token is in no argument and no environment; `demo2` is also the key.
            assert "demo2" not in " ".join(member.cmdline())
            assert "demo2" not in str(member.environ())
        process.kill()
        assert_nothing_left(members, shm_root)


def test_a_notebook(exchange: Simulator, shm_root: Path) -> None:
    with program(NOTEBOOK, exchange, shm_root) as process:
        assert [line_of(process) for _ in range(3)] == ["ticks", "close 1006", "ticks"]
        members = pipeline_of(process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_S)
        assert (output, process.returncode) == ("close 1006\nnext cell\n", 0), errors
    assert_nothing_left(members, shm_root)


def test_its_pipeline_killed_is_told(
    exchange: Simulator, make_ticker: Make, caplog: pytest.LogCaptureFixture
) -> None:
    ticker = make_ticker(url(exchange))
    heard = Heard(ticker, full=[408065])
    given_up = threading.Event()
    ticker.on_noreconnect = lambda ws: given_up.set()
    ticker.connect(threaded=True)
    wait_for(lambda: heard.has(408065, "full"), "ticks")
    supervisor = psutil.Process().children()
    [victim] = [p for p in supervisor if "pipeline.supervisor.piped" in " ".join(p.cmdline())]
    victim.kill()
    assert given_up.wait(PATIENCE_S)
    assert heard.calls == ["connect", "close 1006"]
    assert logging.getLogger("pipeline.kite").name in {record.name for record in caplog.records}
