"""The example strategies run against a small instance, and end with it or at SIGINT."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.enums import EventKind, Mode, Reason
from pipeline.services.status.readers import read_pages
from pipeline.shm.names import DEFAULT_ROOT
from tests.conftest import wait_until
from tests.strategy.writer import FakeInstance

ROOT = Path(__file__).parents[2]


@pytest.fixture
def instance() -> Iterator[FakeInstance]:
    made = FakeInstance(f"example-{uuid.uuid4().hex[:8]}", DEFAULT_ROOT)
    yield made
    if not made.ended:
        made.end()


def _publish(instance: FakeInstance) -> None:
    lane = instance.connections[0].lane
    ticks = lane.make_ticks(2)
    ticks["mode"], ticks["last_price"] = Mode.FULL, 1234.5
    ticks["bid_quantity"], ticks["bid_price"], ticks["ask_price"] = 10, 99.5, 100.5
    lane.ticks.write(ticks)
    lane.ticks.publish(2)
    lane.write_event(EventKind.GAP, reason=Reason.RESET, start_mono_ns=0, end_mono_ns=500_000_000)
    instance.bell.ring()


def _wait_for_reader(instance: FakeInstance) -> None:
    """Wait until the example follows a connection: its page alone comes a moment earlier."""
    wait_until(
        lambda: any(page.record["cursor_count"] for page in read_pages(instance.paths)),
        timeout_s=30, what="the example attached",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("ltp.py", ["    408065      1234.50"]),
        ("depth.py", ["    408065      99.50 100.50     +1.00",
                      "connection 0: 0.500 s without data (RESET)"]),
        ("moving_average.py", ["2 ticks, 1 instruments"]),
    ],
)  # fmt: skip
def test_an_example_prints_what_it_says(
    instance: FakeInstance, script: str, expected: list[str]
) -> None:
    arguments = [sys.executable, f"examples/strategies/{script}", instance.paths.name]
    with subprocess.Popen(
        arguments, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as example:  # fmt: skip
        _wait_for_reader(instance)
        _publish(instance)
        assert example.stdout is not None
        missing = set(expected)
        for line in example.stdout:
            missing.discard(line.rstrip("\n"))
            if not missing:
                break
        example.send_signal(signal.SIGINT)
        errors = example.communicate(timeout=30)[1]
    assert not missing
    assert (example.returncode, errors) == (0, "")
    assert not list(instance.paths.readers.iterdir())


SCRIPTS = ("ltp.py", "depth.py", "moving_average.py")


def _start(script: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, f"examples/strategies/{script}", name], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


#: It starts an instance instead of attaching to one: tests/kite/test_samples.py runs it.
STARTS_ITS_OWN = "kite_ticker.py"

#: It wants a pool: test_configs.py runs it on the one of examples/config/pool.toml.
NEEDS_A_POOL = "pool.py"


def test_every_example_is_run() -> None:
    found = {path.name for path in (ROOT / "examples/strategies").glob("*.py")}
    assert found == {*SCRIPTS, STARTS_ITS_OWN, NEEDS_A_POOL}


def test_examples_say_in_a_line_that_there_is_no_instance() -> None:
    started = [_start(script, "never-there") for script in SCRIPTS]
    for example in started:
        out, errors = example.communicate(timeout=60)
        assert (example.returncode, out) == (1, "")
        assert errors.startswith("no instance 'never-there' runs") and errors.count("\n") == 1


def test_examples_say_in_a_line_that_their_instance_has_ended(instance: FakeInstance) -> None:
    started = [_start(script, instance.paths.name) for script in SCRIPTS]
    wait_until(
        lambda: sum(bool(p.record["cursor_count"]) for p in read_pages(instance.paths)) == 3,
        timeout_s=60, what="the examples attached",
    )  # fmt: skip
    instance.end()
    for example in started:
        errors = example.communicate(timeout=60)[1]
        assert example.returncode == 1
        assert errors == f"instance '{instance.paths.name}' has ended\n"


def test_the_first_example_has_fifteen_lines_at_most() -> None:
    assert len((ROOT / "examples/strategies/ltp.py").read_text().splitlines()) <= 15


def test_imbalance_of_empty_books_is_zero() -> None:
    sys.path.insert(0, str(ROOT / "examples" / "strategies"))
    try:
        import depth
    finally:
        sys.path.pop(0)
    import pipeline

    assert depth.imbalance(np.zeros(3, pipeline.tick_dtype)).tolist() == [0, 0, 0]
