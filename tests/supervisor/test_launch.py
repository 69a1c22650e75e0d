"""Fresh interpreters: what they can import, how they end, and that they die with us if asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.secrets import Secret
from pipeline.supervisor.launch import launch, launch_instance
from tests.supervisor.harness import ROOT, wait_for

PROGRAM = """
import os, sys, time
import helper, pipeline
print(__name__, sys.argv, helper.here, os.getsid(0) == os.getpid(), flush=True)
time.sleep(3600 * (sys.argv[1:] == ["stay"]))
sys.exit(5)
"""
PARENT = """
import subprocess, sys, time
from signal import Signals
from pipeline.core.secrets import Secret
from pipeline.supervisor.launch import launch, launch_instance
ties = Signals(int(sys.argv[1]))
process = launch(sys.argv[2:], die_with_parent=ties, stdout=subprocess.PIPE)
assert b"__main__" in process.stdout.readline()  # it runs the program, and so has asked
print(process.pid, flush=True)
time.sleep(3600)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("here = 'beside the program'\n")
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.mark.parametrize("ties", [None, signal.SIGKILL])
def test_a_program_runs_as_python_would_run_it(
    program: Path, ties: signal.Signals | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    process = launch([str(program), "word"], die_with_parent=ties, stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=60)
    assert output.decode() == f"__main__ {[str(program), 'word']} beside the program True\n"
    assert process.returncode == 5


@pytest.mark.parametrize("ties", [None, signal.SIGTERM])
def test_a_module_runs_with_its_arguments(ties: signal.Signals | None) -> None:
    process = launch(
        ["-m", "pipeline", "config", "--help"], die_with_parent=ties, stdout=subprocess.PIPE
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"reference" in output


def test_additions_to_the_environment_are_seen() -> None:
    process = launch(
        ["-c", "import os; print(os.environ['AN_ADDITION'])"],
        environment={"AN_ADDITION": "seen"},
        stdout=subprocess.PIPE,
    )
    assert process.communicate(timeout=60)[0] == b"seen\n"


def test_it_dies_with_the_one_who_asked_for_that(program: Path) -> None:
    line = [sys.executable, "-c", PARENT, str(int(signal.SIGKILL)), str(program), "stay"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=environment) as parent:
        try:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
        finally:
            parent.kill()

    def is_gone() -> bool:
        try:
            stat = Path(f"/proc/{child}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        return stat.rpartition(")")[2].split()[0] == "Z"

    wait_for(is_gone, "the child to die with its parent")


def test_whose_parent_is_gone_already_does_not_start(program: Path) -> None:
    line = [sys.executable, "-m", "pipeline.supervisor.hosted", "1", "9", str(program)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        line, capture_output=True, text=True, env=environment, check=False, timeout=60
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert "ended before it could take this one with it" in result.stderr


def test_a_pipeline_says_through_its_pipe_why_it_does_not_start() -> None:
    config = "[instance]\nname = 'UPPER'\n"
    process = launch_instance(config, tokens={"main": Secret("hidden-token")}, source="a test")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 78
    [line] = map(json.loads, errors.splitlines())
    assert line["level"] == "critical"
    assert line["message"].startswith("a test: ")
    assert "instance.name: found" in line["message"]
    assert b"hidden-token" not in errors
