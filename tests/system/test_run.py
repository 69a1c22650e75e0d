"""`python -m pipeline run` with the real roles: what it promises about deaths, ends and errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import pipeline
from pipeline.core.clock import real_ns
from pipeline.core.enums import State
from pipeline.core.errors import InstanceEnded
from pipeline.shm.instance import clean_instance
from tests.system.judge import control_of
from tests.system.rig import DEADLINE_S, Run, Tape, compare, wait_for

Make = Callable[..., Run]
SETTLE_NS = 300_000_000


def settle(tape: Tape) -> int:
    """Read on for a moment; return a time before which everything sent must have arrived."""
    until = real_ns()
    while real_ns() < until + SETTLE_NS:
        tape.pump()
        time.sleep(0.005)
    return until


def test_every_tick_sent_is_read_and_nothing_is_left(make_run: Make) -> None:
    run = make_run().start_and_wait()
    tape = Tape(run)
    until = settle(tape)
    assert run.stop() == 0
    tape.pump()
    assert tape.gaps() == []
    assert compare(run, tape, until_ts_ns=until).lost == 0
    run.assert_nothing_left()


def test_a_killed_exchange_is_an_interruption_of_all(make_run: Make) -> None:
    run = make_run().start_and_wait()
    tape = Tape(run)
    epochs = [int(run.page(connection)["connection_epoch"]) for connection in range(3)]
    run.kill("simulator")
    for connection in range(3):
        wait_for(
            lambda c=connection: (
                int(run.page(c)["connection_epoch"]) > epochs[c]  # type: ignore[misc]
                and run.is_complete(c)
            ),
            "the connection to be back",
            pump=tape.pump,
        )
    settle(tape)
    assert run.stop() == 0
    tape.pump()
    assert [len(tape.gap_reasons(connection)) for connection in range(3)] == [1, 1, 1]
    run.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_strategy_attaches_by_name_and_is_told_of_the_end(
    make_run: Make, number: signal.Signals
) -> None:
    run = make_run().start_and_wait()
    with pipeline.attach("system", shm_directory=run.paths.root) as market:
        got = next(iter(market.batches(timeout_s=30)))
        assert len(got) > 0
        assert run.stop(number) == (0 if number is signal.SIGTERM else -number)
        with pytest.raises(InstanceEnded):
            list(market.batches(timeout_s=30))
    wait_for(lambda: not run.running(), "every process to be gone")
    clean_instance(run.paths)
    run.assert_nothing_left()


def test_a_killed_supervisor_leaves_no_process_and_the_next_start_is_clean(make_run: Make) -> None:
    run = make_run().start_and_wait()
    assert run.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not run.running(), "the children to die with it")
    run.start_and_wait()
    assert run.stop(signal.SIGINT) == 130
    run.assert_nothing_left()


def test_a_second_start_is_refused(make_run: Make) -> None:
    first = make_run().start_and_wait()
    second = make_run().start()
    assert second.process is not None and first.process is not None
    assert second.process.wait(DEADLINE_S) == 73
    assert f"runs already, as process {first.process.pid}" in second.log.read_text()
    assert first.stop() == 0
    first.assert_nothing_left()


def test_a_bounded_run_ends_with_0(make_run: Make) -> None:
    run = make_run().start("--seconds", "1", "--log-format", "json")
    assert run.process is not None
    assert run.process.wait(DEADLINE_S) == 0
    assert run.log.read_text().startswith('{"ts_ns": ')
    run.assert_nothing_left()


def test_a_wrong_config_shows_every_error_and_starts_nothing(make_run: Make) -> None:
    run = make_run(more="[feed]\nping_after_s = -1\nnonsense = 3\n[decoder]\ncount = 0\n")
    run.start()
    assert run.process is not None
    assert run.process.wait(DEADLINE_S) == 78
    text = run.log.read_text()
    for key in ("feed.ping_after_s", "feed.nonsense", "decoder.count"):
        assert key in text
    run.assert_nothing_left()


def test_the_port_of_another_is_refused(make_run: Make) -> None:
    first = make_run().start_and_wait()
    line = next(text for text in first.log.read_text().splitlines() if "ws://127" in text)
    port = int(line.rpartition(":")[2])
    second = make_run()
    config = second.config.read_text().replace('"system"', '"other"')
    second.config.write_text(config.replace("[simulator]", f"[simulator]\nport = {port}"))
    second.start()
    assert second.process is not None and second.process.wait(DEADLINE_S) == 73
    assert f"[simulator] port {port}" in second.log.read_text()
    assert first.stop() == 0
    first.assert_nothing_left()


CANARY = "cAnArYtOkEn0123456789abcdef"


def token_file(folder: Path, token: str) -> Path:
    path = folder / "token"
    temporary = folder / "token.new"
    temporary.touch(0o600)
    temporary.write_text(token)
    temporary.replace(path)
    return path


def handshakes(run: Run) -> tuple[int, int]:
    """Return how many the exchange has seen and how many it has refused, by its own count."""
    with control_of(run) as control:
        told = control.command("stat")
    return told["sessions"], told["handshakes_refused"]


def test_exit_on_auth_ends_with_77(make_run: Make, tmp_path: Path) -> None:
    token_file(tmp_path, CANARY)
    run = make_run(account='access_token = "file:token"').start("--exit-on-auth")
    assert run.process is not None
    assert run.process.wait(DEADLINE_S) == 77
    assert CANARY not in run.log.read_text()
    run.assert_nothing_left()


def test_a_rejected_token_is_swapped_without_a_restart(make_run: Make, tmp_path: Path) -> None:
    token_file(tmp_path, CANARY)
    run = make_run(account='access_token = "file:token"').start()
    wait_for(run.is_ready, "the instance to run")
    for connection in range(3):
        wait_for(lambda c=connection: run.state(c) is State.AUTH_EXPIRED, "the 403")  # type: ignore[misc]
    before = handshakes(run)
    time.sleep(3.2)  # a feed looks at the file each second
    assert handshakes(run) == before and before[0] == before[1] <= 3
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in run.running()]
    assert lines and not any(CANARY.encode() in line for line in lines)
    pids = [run.pid(f"feed {connection}") for connection in range(3)]
    token_file(tmp_path, "demo")
    for connection in range(3):
        wait_for(lambda c=connection: run.is_complete(c), "the connection to be live")  # type: ignore[misc]
    assert pids == [run.pid(f"feed {connection}") for connection in range(3)]
    assert handshakes(run) == (before[0] + 3, before[1])
    assert run.stop() == 0
    assert CANARY not in run.log.read_text()
    run.assert_nothing_left()


def test_a_login_revives_a_running_instance(make_run: Make, tmp_path: Path) -> None:
    token_file(tmp_path, CANARY)
    run = make_run(account='access_token = "file:token"').start()
    wait_for(run.is_ready, "the instance to run")
    wait_for(lambda: run.state(0) is State.AUTH_EXPIRED, "the 403")
    line = next(text for text in run.log.read_text().splitlines() if "ws://127" in text)
    address = f"http://127.0.0.1:{line.rpartition(':')[2]}"
    # Whoever logs in from outside has to know the port, which this instance took as it came.
    config = tmp_path / "login.toml"
    more = f'access_token = "file:token"\nrest_url = "{address}"'
    config.write_text(run.config.read_text().replace('access_token = "file:token"', more))
    with control_of(run) as control:
        control.command("rest_limits", default=0)
    request_token = log_in(f"{address}/connect/login?v=3&api_key=demo")
    command = [sys.executable, "-m", "pipeline", "token", "login", "--config", str(config)]
    said = f"{request_token}\ndemo-secret\n"
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for connection in range(3):
        wait_for(lambda c=connection: run.is_complete(c), "the connection to be live")  # type: ignore[misc]
    assert run.stop() == 0
    token = (tmp_path / "token").read_text().strip()
    assert len(token) == 32 and token not in run.log.read_text() + done.stdout + done.stderr
    run.assert_nothing_left()


def log_in(address: str) -> str:
    """Do what a person does in his browser; return the request token that it leads to."""
    with urllib.request.urlopen(address, timeout=60) as response:
        return str(parse_qs(urlsplit(response.url).query)["request_token"][0])


def test_a_token_in_the_environment_shows_nowhere(
    make_run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", CANARY)
    run = make_run(account='access_token = "env:A_TOKEN"').start()
    wait_for(run.is_ready, "the instance to run")
    wait_for(lambda: run.state(0) is State.AUTH_EXPIRED, "the 403")
    path = run.paths.secrets / "exchange"
    assert path.stat().st_mode & 0o777 == 0o600
    token_file(path.parent, "demo").replace(path)
    wait_for(lambda: run.is_complete(0), "the connection to be live")
    os.environ.pop("A_TOKEN")
    assert run.stop() == 0
    assert CANARY not in run.log.read_text()
    run.assert_nothing_left()
