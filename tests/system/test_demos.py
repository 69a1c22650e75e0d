"""The demos by name as a user starts them: what they say, and that nothing is left of them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.demo import gateway
from pipeline.cli.demo.examples import summaries
from tests.conftest import wait_until
from tests.system.test_demo import DEADLINE_S, DEMO, GONE_S, environment, leftovers

WIDTH = 80


def row(account: str, *numbers: int) -> str:
    """Return the pattern of a line of the distribution."""
    return r"\s+".join([account, *map(str, numbers)]) + r"\s*$"


def rows(*numbers: tuple[int, ...]) -> list[str]:
    return [row("exchange", 0, *each) for each in numbers]


#: name: how long the short run takes, and what it must say, in this order
SAYS: dict[str, tuple[float, list[str]]] = {
    "single_connection": (1.0, ["is LIVE", r"[1-9]\d* ticks in"]),
    "portfolio_monitor": (0.4, ["INFY .* live", r"RELIANCE .* live", "^all"]),
    "runtime_subscription": (
        0.3,
        [
            *rows((3, 3, 0, 0, 2997), (5, 3, 2, 0, 2995), (5, 1, 2, 2, 2995)),
            *rows((4, 0, 2, 2, 2996), (5, 0, 2, 3, 2995)),
            r"^6\. [1-9]\d* ticks",
            *rows((0, 0, 0, 0, 3000)),
            "connections: 1, opened",
        ],
    ),
    "dynamic_subscription": (
        0.5,
        [
            "no connection",
            *rows((10, 0, 10, 0, 2990), (20, 10, 10, 0, 2980), (30, 10, 10, 10, 2970)),
            *rows((30, 10, 10, 10, 2970), (30, 10, 0, 20, 2970), (30, 0, 0, 30, 2970)),
            *rows((30, 30, 0, 0, 2970), (20, 20, 0, 0, 2980), (30, 20, 10, 0, 2970)),
            *rows((0, 0, 0, 0, 3000)),
            r"confirmed\s+0\s+30",
        ],
    ),
    "manager": (
        0.6,
        [
            *(row("exchange", n, 2000, 0, 2000, 0, 1000) for n in range(3)),
            "of 3 connections are well",
            "final statistics",
            r"[1-9][\d,]* ticks, \d+ lost",
        ],
    ),
    "market_scanner": (
        0.5,
        [
            *(row("exchange", n, count, count, 0, 0, 3000 - count)
              for n, count in enumerate((3000, 3000, 2000))),
            *(f"top movers of connection {n}" for n in range(3)),
            r"[1-9][\d,]* ticks, \d+ alerts",
        ],
    ),
    "high_frequency": (1.0, [r"[1-9][\d,]* ticks, \d+ signals", "from the socket", r"^\s*[1-9]"]),
    "heartbeat_liveness": (0.5, [r"^\w+: [A-Z]+, \d+ heartbeats, last frame"]),
    "multi_api": (
        0.5,
        [
            row("first", 0, 500, 0, 500, 0, 2500),
            row("second", 1, 500, 0, 500, 0, 2500),
            row("first", 0, 500, 0, 500, 0, 2500),
            row("second", 1, 700, 0, 500, 200, 2300),
            "in one stream",
            r"^first\s+0\s+[1-9]",
            r"^second\s+1\s+[1-9]",
        ],
    ),
    "raw_frames": (1.0, [r"3 packets, .*184 bytes", "decoded the same", r"[1-9]\d* packets"]),
    "mode_change": (
        0.4,
        [
            r"^ltp\s+\d+\s+8\s+last price\s*$",
            r"^quote\s+\d+\s+44\s+last price, volume",
            r"^full\s+\d+\s+184\s.* depth",
            r"^ltp\s+\d+\s+8\s+last price\s*$",
            "reconnects: ",
        ],
    ),
}  # fmt: skip


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*DEMO, *arguments], env=environment(folder), cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def assert_gone(pid: int, folder: Path) -> None:
    wait_until(lambda: not leftovers(pid), timeout_s=GONE_S, what="nothing left")
    assert list(folder.iterdir()) == []


def test_every_demo_is_run_and_listed(tmp_path: Path) -> None:
    assert {*SAYS, gateway.NAME} == set(summaries())  # that one: tests/clients
    with start(tmp_path, "--list") as process:
        text, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert all(re.search(f"^{name} ", text, re.MULTILINE) for name in SAYS)
    assert max(map(len, text.splitlines())) <= WIDTH


#: The others begin as these do, with a pool of their own: they are for --full.
QUICKLY = ("portfolio_monitor", "runtime_subscription", "multi_api", "raw_frames")


def lengths() -> list[Any]:
    """Return (name, whether as long as it is), in short and for --full."""
    full = pytest.mark.full
    short = [pytest.param(name, False, marks=[] if name in QUICKLY else full) for name in SAYS]
    return short + [pytest.param(name, True, marks=full) for name in SAYS]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("name", "full"), lengths())
def test_a_demo_says_what_it_shows(name: str, full: bool, tmp_path: Path) -> None:
    seconds, expected = SAYS[name]
    options = [] if full else ["--seconds", f"{seconds:g}"]
    with start(tmp_path, name, *options) as process:
        text, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, ""), text
    lines = iter(text.splitlines())
    for pattern in expected:
        assert any(re.search(pattern, line) for line in lines), (pattern, text)
    assert max(len(line) for line in text.splitlines()) <= WIDTH, text
    assert_gone(process.pid, tmp_path)


def test_ctrl_c_ends_a_demo_and_leaves_nothing(tmp_path: Path) -> None:
    with start(tmp_path, "single-connection", "--seconds", "300") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert_gone(process.pid, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["market-scaner"], "did you mean market_scanner?"),
        (["manager", "--seconds", "0"], "--seconds"),
    ],
)
def test_what_is_typed_wrong_is_told(arguments: list[str], told: str, tmp_path: Path) -> None:
    with start(tmp_path, *arguments) as process:
        text, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, text) == (78, "")
    assert told in errors
