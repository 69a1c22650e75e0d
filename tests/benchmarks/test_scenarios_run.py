"""Every scenario of `bench` runs, in its tiny size, as the command runs it; and leaves nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.harness import catalogue
from pipeline.supervisor.launch import Launched, launch, wait_or_kill

pytestmark = pytest.mark.timeout(180)


def names() -> tuple[list[str], list[str]]:
    """Return the first scenario of each file, and the others, which run what those run."""
    firsts, others, seen = [], [], set()
    for one in catalogue.scenarios():
        module = getattr(one.run, "func", one.run).__module__
        (others if module in seen else firsts).append(one.name)
        seen.add(module)
    return firsts, others


FIRSTS, OTHERS = names()


def start(*arguments: str) -> Launched:
    return launch(
        ["-m", "pipeline", "bench", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "wanted",
    [FIRSTS[::2], FIRSTS[1::2], pytest.param(OTHERS, marks=pytest.mark.full)],
    ids=["half of the files", "the other half", "the rest"],
)
def test_scenarios_run(wanted: list[str], tmp_path: Path) -> None:
    report, tables = tmp_path / "report.html", tmp_path / "tables.md"
    process = start(
        *wanted, "--tiny", "--no-gate", "--json", "--report", str(report), "--markdown", str(tables)
    )
    output, said = process.communicate(timeout=380)
    assert process.returncode == 0, said.decode()[-4000:]
    found = json.loads(output)
    assert sorted(one["name"] for one in found["scenarios"]) == sorted(wanted)
    for one in found["scenarios"]:
        assert one["failed"] == "", one["failed"]
        assert one["figures"], said.decode()
        assert all(value >= 0 for figure in one["figures"] for value in figure["samples"])
    assert "<svg" in report.read_text()
    assert all(name in tables.read_text() for name in wanted)


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
