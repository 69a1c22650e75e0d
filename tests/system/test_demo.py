"""The demo as a user starts it: the verdict, Ctrl-C at different moments, wrong options."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "pipeline", "demo"]
DEADLINE_S = 60.0
GONE_S = 30.0


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


def leftovers(pid: int) -> list[str]:
    """Return files of the demo with that pid, and processes that know its name."""
    name = f"demo-{pid}"
    found = [str(p) for p in Path("/dev/shm").glob(f"pipeline-*/{name}")]
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if name in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(f"process {process.pid}: {words}")
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rate", "6000", "--instruments", "3000"],
        pytest.param(["--rate", "max"], marks=pytest.mark.full),
        pytest.param(["--connections", "1", "--instruments", "50"], marks=pytest.mark.full),
        pytest.param(["--connections", "9", "--seed", "7"], marks=pytest.mark.full),
    ],
)
def test_every_tick_is_accounted_for(arguments: list[str], tmp_path: Path) -> None:
    result = subprocess.run(
        [*DEMO, "--seconds", "10", "--json", *arguments], env=environment(tmp_path), cwd=tmp_path,
        capture_output=True, text=True, timeout=DEADLINE_S * 2, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert report["passed"] and not report["leftovers"]
    if "--instruments" in arguments and "6000" in arguments:  # the exchange waits for nobody
        assert re.search(
            r"in a browser: http://127\.0\.0\.1:\d+/#ticket=[\w-]{43}\n", result.stderr
        )
    assert report["verdict"]["sent"] > 1000
    assert 0 < report["start_s"] < DEADLINE_S
    assert {gap["reason"] for gap in report["gaps"]} == {"RESET", "STALL"}
    assert all(gap["start_ts_ns"] < gap["end_ts_ns"] for gap in report["gaps"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_a_second_start_finds_all_as_it_was_left(tmp_path: Path) -> None:
    """It installs and compiles nothing; how long it takes, `bench demo-start` says."""
    line = [str(ROOT / "demo"), "--seconds", "10", "--rate", "6000", "--json"]
    for _ in range(2):  # the first one may have to
        result = subprocess.run(
            line, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
    assert ", once\n" not in result.stderr, result.stderr  # of what is done once it says so
    assert json.loads(result.stdout)["passed"]


@pytest.mark.parametrize("pause_s", [0.1, 0.6, 1.2, pytest.param(2.5, marks=pytest.mark.full)])
def test_ctrl_c_leaves_nothing_behind(pause_s: float, tmp_path: Path) -> None:
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            DEMO, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.DEVNULL,
            stderr=stderr, start_new_session=True,
        )  # fmt: skip
        time.sleep(pause_s)  # the moment is what is tested; nothing is waited for
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(DEADLINE_S)
        stderr.seek(0)
        said = stderr.read()
    # Before our first line runs, the interpreter ends by the signal; a busy machine's may be so
    # early that it fails to start.
    assert code in (130, -signal.SIGINT) or (code == 1 and b"init_import_site" in said), said
    wait_until(lambda: not leftovers(process.pid), timeout_s=GONE_S, what="nothing left")
    assert list(tmp_path.iterdir()) == []


def test_a_terminated_demo_clears_up_as_after_ctrl_c(tmp_path: Path) -> None:
    process = subprocess.Popen(
        DEMO, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    wait_until(
        lambda: list(tmp_path.glob("pipeline-demo-*")), timeout_s=DEADLINE_S, what="its folder"
    )
    process.terminate()
    assert process.wait(DEADLINE_S) == 130
    wait_until(lambda: not leftovers(process.pid), timeout_s=GONE_S, what="nothing left")
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_killed_takes_its_pipeline_along(tmp_path: Path) -> None:
    process = subprocess.Popen(
        DEMO, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    here = Path("/dev/shm")
    wait_until(
        lambda: list(here.glob(f"pipeline-*/demo-{process.pid}/instance")),
        timeout_s=DEADLINE_S, what="an instance",
    )  # fmt: skip
    process.kill()
    process.wait()
    wait_until(lambda: not leftovers(process.pid), timeout_s=GONE_S, what="nothing left")


def test_wrong_options_start_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        [*DEMO, "--seconds", "1", "--rate", "quick"], env=environment(tmp_path), cwd=tmp_path,
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert result.returncode == 78
    assert "--rate" in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
