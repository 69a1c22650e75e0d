"""The example configs, run: `sim.toml` as it is, `kite.toml` against a simulated exchange."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.shm.names import InstancePaths, user_directory
from tests.conftest import ROOT, wait_until

EXAMPLES = ROOT / "examples" / "config"
LIVE_S = 60.0


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """End each test with no instance of this process's names."""
    yield
    assert list(user_directory().glob(f"*-{os.getpid()}")) == []


def named(text: str, old: str) -> tuple[str, str]:
    """Return a config under a name that nobody else uses, and that name."""
    name = f"{old}-{os.getpid()}"
    assert f'name = "{old}"' in text
    return text.replace(f'name = "{old}"', f'name = "{name}"', 1), name


@contextmanager
def running(config: Path) -> Iterator[Path]:
    """Run a config; yield its log once all connections are live; it must end well."""
    log = config.with_suffix(".log")
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", "--config", str(config)],
            cwd=ROOT, stderr=stderr, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(
            lambda: " live after " in log.read_text() or process.poll() is not None,
            timeout_s=LIVE_S, what="all connections are live",
        )  # fmt: skip
        assert process.poll() is None, log.read_text()
        yield log
        process.terminate()
        assert process.wait(LIVE_S) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(LIVE_S)


def test_the_simulated_one_and_the_first_strategy_on_it(tmp_path: Path) -> None:
    text, name = named((EXAMPLES / "sim.toml").read_text(), "demo")
    (tmp_path / "sim.toml").write_text(text)
    with running(tmp_path / "sim.toml") as log:
        assert "all 3 connections are live" in log.read_text()
        with subprocess.Popen(
            [sys.executable, "examples/strategies/ltp.py", name], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as strategy:  # fmt: skip
            assert strategy.stdout is not None
            token, price = strategy.stdout.readline().split()
            strategy.send_signal(signal.SIGINT)
            strategy.communicate(timeout=LIVE_S)
        assert int(token) > 0 and float(price) > 0
        assert strategy.returncode == 0


def test_the_pool_and_a_subscription_by_hand(tmp_path: Path) -> None:
    text, name = named((EXAMPLES / "pool.toml").read_text(), "demo-pool")
    (tmp_path / "pool.toml").write_text(text)
    config = tmp_path / "pool.toml"
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", "--config", str(config)],
        cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for line in process.stderr:
            if "running as process" in line:
                break
        command = [sys.executable, "-m", "pipeline", "sub", "add", name, "408065", "256265"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIVE_S)
        assert done.returncode == 0, done.stdout + done.stderr
        for line in process.stderr:
            if " live after " in line:
                break
        process.terminate()
        process.communicate(timeout=LIVE_S)
    assert process.returncode == 0


def test_the_pool_and_the_strategy_that_subscribes(tmp_path: Path) -> None:
    text, name = named((EXAMPLES / "pool.toml").read_text(), "demo-pool")
    (tmp_path / "pool.toml").write_text(text)
    log = (tmp_path / "log").open("wb")
    pipeline_ = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", "--config", str(tmp_path / "pool.toml")],
        cwd=ROOT, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(
            lambda: InstancePaths(name).control_socket.exists(), timeout_s=LIVE_S, what="the pool"
        )
        with subprocess.Popen(
            [sys.executable, "examples/strategies/pool.py", name], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as strategy:  # fmt: skip
            assert strategy.stdout is not None and strategy.stderr is not None
            account, token, price = strategy.stdout.readline().split()
            # Both accounts have some of them; whose tick is the first is the exchange's matter.
            assert account in ("first", "second") and int(token) > 0 and float(price) > 0
            pipeline_.terminate()
            errors = strategy.communicate(timeout=LIVE_S)[1]
        assert strategy.returncode == 0
        assert f"{account}: instance '{name}' has ended" in errors
        assert pipeline_.wait(LIVE_S) == 0, (tmp_path / "log").read_text()
    finally:
        if pipeline_.poll() is None:
            pipeline_.terminate()
            pipeline_.wait(LIVE_S)
        log.close()


def test_the_live_one_but_for_its_address(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "pipeline", "sim", "--instruments", "10", "--interval", "0.1"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as exchange:
        try:
            assert exchange.stdout is not None
            url = exchange.stdout.readline().removeprefix("listening on ").strip()
            text, _ = named((EXAMPLES / "kite.toml").read_text(), "kite")
            for old, new in (("wss://ws.kite.trade", url), ("your_api_key", "demo")):
                assert f'"{old}"' in text
                text = text.replace(f'"{old}"', f'"{new}"')
            (tmp_path / "kite.toml").write_text(text)
            (tmp_path / "kite-token").write_text("demo\n")
            (tmp_path / "kite-token").chmod(0o600)
            with running(tmp_path / "kite.toml") as log:
                assert "the connection is live" in log.read_text()
        finally:
            exchange.terminate()
