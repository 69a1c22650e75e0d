"""The demo's parts without processes: options, scenario, the strategy's log, verdict, summary."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from rich.console import Console

from pipeline.brokers.registry import broker_limits
from pipeline.cli.demo.command import _end_by_interrupt
from pipeline.cli.demo.examples import summaries
from pipeline.cli.demo.folder import InFolder
from pipeline.cli.demo.live import LiveView, duration
from pipeline.cli.demo.options import RATE_MAX, DemoOptions, check, parse_rate, parser
from pipeline.cli.demo.page import has_page, page_address, write_list
from pipeline.cli.demo.probe import Probe
from pipeline.cli.demo.readings import Reading, reader_dict
from pipeline.cli.demo.scenario import LIST_NAME, can_have_page, config_text, split
from pipeline.cli.demo.stage import Stage
from pipeline.cli.demo.summary import print_text, reconnects
from pipeline.cli.demo.verdict import judge
from pipeline.cli.main import build
from pipeline.core.config import parse
from pipeline.core.enums import Mode, Reason, State
from pipeline.core.errors import ConfigError
from pipeline.core.layout import tick_dtype
from pipeline.core.plan import plan_topology
from pipeline.instruments import load
from pipeline.services.status import snapshot
from pipeline.services.status.model import Latency, Reader
from pipeline.shm import specs
from pipeline.shm.names import InstancePaths
from pipeline.shm.plan import plan_memory
from pipeline.sim.truth import create_truth
from pipeline.sim.verify import received_dtype
from pipeline.strategy.items import Overrun, StateChange, Ticks
from tests.conftest import ROOT
from tests.services.status.establish import Established


def test_every_wrong_option_is_told_at_once() -> None:
    options = DemoOptions(seconds=1, rate=-1.0, connections=10, instruments=1, seed=-1)
    with pytest.raises(ConfigError) as error:
        options.checked()
    paths = {problem.path for problem in error.value.problems}
    assert paths == {"--seconds", "--rate", "--connections", "--instruments", "--seed"}


def test_the_exchange_takes_every_rate_that_is_let_through() -> None:
    options = DemoOptions(rate=float(RATE_MAX)).checked()
    text = config_text(options, name="demo-1", truth=Path("truth.bin"))
    parse(text, limits=broker_limits())
    with pytest.raises(ConfigError, match="--rate: found .*; expected above 0 .* 100,000,000"):
        DemoOptions(rate=RATE_MAX * 2.0).checked()


def test_the_faults_come_half_way_or_as_late_as_they_heal() -> None:
    assert DemoOptions(seconds=20.0).checked().faults_after_s == 10.0
    assert DemoOptions(seconds=10.0).checked().faults_after_s == 2.5
    with pytest.raises(ConfigError, match="--seconds: found 9.5; expected 10 to 86400"):
        DemoOptions(seconds=9.5).checked()


def test_options_are_checked_before_anything_is_installed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check(["--seconds", "30", "--rate", "max", "--json"]) == 0
    assert check(["--seconds", "1", "--connections", "40"]) == 78
    assert "--seconds" in (text := capsys.readouterr().err) and "--connections" in text
    for wrong in (["--secs", "30"], ["--seconds", "soon"], ["more"]):
        with pytest.raises(SystemExit) as end:
            check(wrong)
        assert end.value.code == 2


@pytest.mark.parametrize("arguments", [["--connections", "2"], ["gateway", "--seconds", "3"]])
def test_checking_options_needs_no_package(arguments: list[str]) -> None:
    line = [sys.executable, "-S", "-m", "pipeline.cli.demo.options", *arguments]
    subprocess.run(line, check=True, cwd=ROOT, timeout=60)


def test_the_check_knows_the_demos_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    for name in summaries():
        assert check([name]) == check([name.replace("_", "-")]) == 0
    assert check(["--list"]) == 0
    with pytest.raises(SystemExit) as end:
        check(["show"])
    assert end.value.code == 2
    assert "gateway" in capsys.readouterr().err


def test_the_check_knows_the_options_of_the_command() -> None:
    command = typer.main.get_command(build(["demo"])).commands["demo"]  # type: ignore[attr-defined]
    known = {option for p in command.params for option in p.opts} - {"--help"}
    known.remove("name")
    checked = {option for action in parser()._actions for option in action.option_strings}
    assert checked - {"-h", "--help", "--debug"} == known
    for param in command.params:
        if param.name in ("connections", "seed"):
            assert parser().get_default(param.name) == param.default
    assert parser().get_default("seconds") == DemoOptions().seconds


@pytest.mark.parametrize(("text", "rate"), [("max", None), ("18,000", 18_000.0), ("5e5", 5e5)])
def test_a_rate_is_a_number_or_max(text: str, rate: float | None) -> None:
    assert parse_rate(text) == rate
    with pytest.raises(ConfigError, match='"max"'):
        parse_rate("fast")


@pytest.mark.parametrize("connections", [1, 3, 9])
@pytest.mark.parametrize("rate", [None, 18_000.0])
def test_the_scenario_is_a_config_that_passes_every_check(
    connections: int, rate: float | None, tmp_path: Path
) -> None:
    options = DemoOptions(connections=connections, instruments=connections * 1000, rate=rate)
    text = config_text(options, name="demo-1", truth=tmp_path / "truth.bin")
    config = parse(text, limits=broker_limits(), folder=tmp_path)
    plan = plan_topology(config)
    assert [len(c.wanted) for c in plan.connections] == [1000] * connections
    tokens = [w.instrument_token for c in plan.connections for w in c.wanted]
    assert len(set(tokens)) == connections * 1000
    assert {w.mode for w in plan.connections[0].wanted} == {Mode.LTP, Mode.QUOTE, Mode.FULL}
    assert options.is_load == (rate is None or connections == 1)  # 10 a second each, at most


@pytest.mark.parametrize("connections", [2, 3, 9])
def test_with_a_page_a_pool_comes_to_the_same_connections(connections: int, tmp_path: Path) -> None:
    options = DemoOptions(connections=connections, instruments=connections * 1000)
    assert can_have_page(options)
    text = config_text(options, name="demo-1", truth=tmp_path / "truth.bin", page=True)
    config = parse(text, limits=broker_limits(), folder=tmp_path)
    assert config.pool is not None and config.api is not None and config.gateway is not None
    assert config.pool.instruments_per_connection == 1000
    wanted = {token: s.mode for s in config.subscriptions for token in s.tokens}
    assert len(wanted) == connections * 1000 and set(wanted.values()) == {"full", "quote", "ltp"}


@pytest.mark.parametrize(
    "options",
    [
        DemoOptions(rate=None), DemoOptions(rate=1e6),
        DemoOptions(connections=3, instruments=4, rate=10.0),  # two connections would do
    ],
)  # fmt: skip
def test_there_is_no_page_where_a_pool_would_do_it_otherwise(options: DemoOptions) -> None:
    assert not has_page(options)


def test_without_a_control_process_there_is_no_address(tmp_path: Path) -> None:
    assert page_address(InstancePaths("demo-1", tmp_path), patience_s=0.0) == ""


def test_the_page_knows_the_exchanges_instruments_by_name(tmp_path: Path) -> None:
    write_list(tmp_path, DemoOptions(instruments=50))
    assert len(load(tmp_path / LIST_NAME)) == 50


@pytest.mark.parametrize("page", [False, True])
def test_the_default_scenario_fits_64_mb_of_shared_memory(page: bool, tmp_path: Path) -> None:
    text = config_text(DemoOptions(), name="demo-1", truth=tmp_path / "truth.bin", page=page)
    plan = plan_memory(parse(text, limits=broker_limits(), folder=tmp_path))
    readers = 3 * specs.reader().file_bytes  # the two strategies, and the gateway
    assert plan.total_bytes + readers < 64_000_000


def test_shares_add_up() -> None:
    assert split(10, 3) == [3, 3, 4]
    assert sum(split(9_001, 7)) == 9_001


def ticks_of(rows: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    ticks = np.zeros(len(rows), tick_dtype)
    for tick, row in zip(ticks, rows, strict=True):
        for name, value in row.items():
            tick[name] = value
    return ticks


def test_a_probe_counts_holes_that_nobody_announced() -> None:
    probe = Probe(None, pause_s=0.0)
    probe.take(Ticks(ticks_of([{"sequence": 5}, {"sequence": 6}])))
    probe.take(Overrun(connection=0, stage="reader", lost=10, first_sequence=7))
    probe.take(Ticks(ticks_of([{"sequence": 17}])))
    assert probe.summary()["unannounced"] == 0
    probe.take(Ticks(ticks_of([{"sequence": 19}])))
    summary = probe.summary()
    assert (summary["unannounced"], summary["lost"], summary["laps"]) == (1, 10, 1)
    assert [told["kind"] for told in summary["told"]] == ["Overrun"]


def change(state: State, reason: Reason, second: float) -> dict[str, Any]:
    item = StateChange(
        connection=1, connection_epoch=1, state=state, reason=reason, detail=0, ts_ns=0,
        mono_ns=int(second * 1e9), tick_sequence=1,
    )  # fmt: skip
    probe = Probe(None, pause_s=0.0)
    probe.take(item)
    told: dict[str, Any] = probe.told[0]
    return told


def test_an_interruption_lasts_from_its_first_notice_until_live() -> None:
    told = [
        change(State.LIVE, Reason.FIRST_DATA, 1.0),
        change(State.STALLED, Reason.STALL, 5.0),
        change(State.RECONNECTING, Reason.STALL, 5.1),
        change(State.LIVE, Reason.FIRST_DATA, 5.5),
    ]
    assert reconnects(told) == [{"connection": 1, "reason": "STALL", "live_after_s": 0.5}]


def test_a_signal_that_another_thread_takes_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Empty(InFolder):
        def _start(self) -> None:
            raise AssertionError("begun after the signal")

        def _end(self) -> None:
            pass

    def make(prefix: str) -> str:
        folder = tmp_path / prefix
        folder.mkdir()
        thread = threading.Thread(target=signal.raise_signal, args=(signal.SIGTERM,))
        thread.start()
        thread.join()
        return str(folder)

    monkeypatch.setattr("pipeline.cli.demo.folder.tempfile.mkdtemp", make)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), Empty():
            pass
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_stays_is_named(tmp_path: Path) -> None:
    stage = Stage(DemoOptions())
    stage.folder = tmp_path / "gone"
    assert stage.leftovers() == []
    stage.folder = tmp_path
    assert stage.leftovers() == [str(tmp_path)]


LISTENING = """
import socket, sys
found = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(one.getsockname()[1] for one in found), flush=True)
sys.stdin.read()
"""


def test_a_process_and_each_port_that_stay_are_named(tmp_path: Path) -> None:
    stage = Stage(DemoOptions())
    stage.folder = tmp_path / "gone"
    with subprocess.Popen(
        [sys.executable, "-c", LISTENING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        ports = sorted(map(int, process.stdout.readline().split()))
        stage.processes["one"] = process  # type: ignore[assignment]
        stage._note_family()
        found = stage.leftovers()
        assert found[0].startswith(f"process {process.pid} (")
        assert found[1:] == [f"port {port}" for port in ports]
        process.stdin.close()
    assert stage.leftovers() == []


def test_a_kill_and_a_closed_terminal_end_a_demo_as_ctrl_c_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But not one under nohup."""
    handlers: dict[int, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    monkeypatch.setattr("signal.getsignal", handlers.__getitem__)
    monkeypatch.setattr("signal.signal", handlers.__setitem__)
    _end_by_interrupt()
    assert set(handlers.values()) == {signal.default_int_handler}
    handlers[signal.SIGHUP] = signal.SIG_IGN
    _end_by_interrupt()
    assert handlers[signal.SIGHUP] is signal.SIG_IGN


def test_missing_logs_are_no_success(tmp_path: Path) -> None:
    os.close(create_truth(tmp_path / "truth.bin", {"seed": 1, "mode": "load"}))
    outcome = judge(tmp_path)
    assert outcome.problems == ["a strategy did not finish its log"]
    for name in ("fast", "slow"):
        (tmp_path / f"{name}.json").write_text(
            json.dumps({"delivered": 3, "lost": 0, "laps": 0, "unannounced": 0, "told": []})
        )
    np.zeros(3, received_dtype).tofile(tmp_path / "fast.log")
    problems = judge(tmp_path).problems
    assert any("never sent" in problem for problem in problems)
    assert any("nothing to compare" in problem for problem in problems)


@pytest.mark.parametrize(
    ("ns", "text"),
    [(5, "5 ns"), (12_300, "12 us"), (7_200_000, "7.2 ms"), (4_560_000_000, "4.56 s")],
)
def test_durations_are_in_the_unit_a_person_would_use(ns: int, text: str) -> None:
    assert duration(ns) == text


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    """Three connections with large counters, and the fast strategy."""
    made = Established("whole", tmp_path)
    made.fill()
    for number in range(3):
        made.commit(number, frames_in=12_345_678, ticks_out=123_456_789)
    status = snapshot(made.paths)
    latency = Latency(samples=0, p50_ns=0, p99_ns=0, p999_ns=0, max_ns=0)
    reader = Reader(
        name="fast", pid=1, alive=True, policy="resume", heartbeat_age_s=0.0, batches=1,
        delivered=123_456_789, events=0, lost=0, laps=0, lag=0, latency=latency, cursors=[],
    )  # fmt: skip
    status = dataclasses.replace(status, readers=[reader])
    yield Reading(status=status, latencies={"fast": np.ones(2048, np.uint64)})
    made.end()


def later(before: Reading) -> Reading:
    """Return a reading after three more batches that took 100 ns each."""
    counts = before.latencies["fast"].copy()
    counts[100] += 3
    return dataclasses.replace(before, latencies={"fast": counts})


def test_latencies_cover_the_measured_time_only(reading: Reading) -> None:
    latency = later(reading).latency("fast", since=reading)
    assert (latency.samples, latency.p50_ns, latency.p999_ns) == (3, 100, 100)
    assert later(reading).latency("nobody", since=reading).samples == 0


def test_the_table_fits_a_terminal_of_80_columns(reading: Reading) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    view = LiveView(DemoOptions())
    console.print(view._render(reading, 12.0, ["the exchange resets connection 0"]))
    lines = console.export_text().splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert any("LIVE" in line and "123,456,789" in line for line in lines)


def test_a_failed_summary_names_every_problem(
    reading: Reading, capsys: pytest.CaptureFixture[str]
) -> None:
    latency = later(reading).latency("fast", since=reading)
    result: dict[str, Any] = {
        "passed": False, "problems": ["3 ticks doubled"],
        "start_s": 1.25, "seconds": 1.0, "ticks_per_s": 5.0,
        "stages": [], "gaps": [], "reconnects": [], "processes": [],
        "readers": {"fast": reader_dict(reading.readers["fast"], latency)},
        "slow": {"delivered": 1, "lost": 2, "laps": 1},
        "verdict": {"sent": 1, "received": 1, "lost": 0, "lost_outside_gaps": 0, "doubled": 3,
                    "out_of_order": 0, "gaps_too_wide": 0},
    }  # fmt: skip
    print_text(result)
    printed = capsys.readouterr().out
    assert "not everything is accounted for" in printed
    assert "3 ticks doubled" in printed
    assert "receive to strategy: p50 100 ns" in printed
    assert "first tick 1.25 s after the command" in printed
