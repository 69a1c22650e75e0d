"""Every scenario of `bench` runs, in its tiny size, as the command runs it; and leaves nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.harness import catalogue
from pipeline.supervisor.launch import Launched, launch, wait_or_kill

pytestmark = pytest.mark.timeout(180)


def first_of_each_module() -> list[Any]:
    """Return all names; of a file with several, all but the first are for --full."""
    found, seen = [], set()
    for one in catalogue.scenarios():
        module = getattr(one.run, "func", one.run).__module__
        marks = [pytest.mark.full] if module in seen else []
        seen.add(module)
        found.append(pytest.param(one.name, marks=marks))
    return found


def start(*arguments: str) -> Launched:
    return launch(
        ["-m", "pipeline", "bench", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize("name", first_of_each_module())
def test_scenario_runs(name: str, tmp_path: Path) -> None:
    report, tables = tmp_path / "report.html", tmp_path / "tables.md"
    process = start(
        name, "--tiny", "--no-gate", "--json", "--report", str(report), "--markdown", str(tables)
    )
    output, said = process.communicate(timeout=150)
    assert process.returncode == 0, said.decode()[-4000:]
    found = json.loads(output)
    assert [one["name"] for one in found["scenarios"]] == [name]
    for one in found["scenarios"]:
        assert one["failed"] == "", one["failed"]
        assert one["figures"], said.decode()
        assert all(value >= 0 for figure in one["figures"] for value in figure["samples"])
    assert "<svg" in report.read_text()
    assert name in tables.read_text()


def test_interrupted_it_leaves_nothing_behind() -> None:
    process = start("end-to-end-100", "--tiny")
    own = psutil.Process(process.pid)
    try:
        deadline_s = time.monotonic() + 60
        while len(children := own.children(recursive=True)) < 5:
            assert process.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=90)
    finally:
        wait_or_kill(process, 10)
    assert process.returncode == 130, said.decode()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


def test_an_unknown_name_is_told_what_there_is() -> None:
    process = start("no-such-scenario")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"decode-100" in said
