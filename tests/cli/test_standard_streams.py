"""A service manager, or `2>&-`, may start a command with standard streams that are closed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CONFIG = ROOT / "examples" / "config" / "sim.toml"
#: Closes some descriptors and becomes what stands behind them on the line.
CLOSE = """
import os, sys
for descriptor in sys.argv[1]:
    os.close(int(descriptor))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
#: Where the three lead, told by the exit code; nothing can be printed.
LOOK = """
import os, sys
from pipeline.cli.standard_streams import open_closed
open_closed()
nowhere = os.stat(os.devnull)
found = [(os.fstat(n).st_rdev, os.get_inheritable(n)) for n in (0, 1, 2)]
streams = [stream.fileno() for stream in (sys.stdin, sys.stdout, sys.stderr)]
sys.exit(found != [(nowhere.st_rdev, True)] * 3 or streams != [0, 1, 2])
"""


def without(descriptors: str, *line: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", CLOSE, descriptors, *line], cwd=ROOT, timeout=60, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ).returncode  # fmt: skip


@pytest.mark.parametrize("descriptors", ["0", "1", "2", "12", "02", "012"])
def test_what_is_closed_leads_nowhere(descriptors: str) -> None:
    assert without(descriptors, "-c", LOOK) == 0


def test_an_instance_runs_without_a_stderr(tmp_path: Path) -> None:
    config = tmp_path / "closed.toml"
    named = f'name = "closed-{os.getpid()}"\nshm_directory = "{tmp_path}"'
    config.write_text(CONFIG.read_text().replace('name = "demo"', named, 1))
    line = ["-m", "pipeline", "run", "--config", str(config), "--seconds", "0.5"]
    assert without("2", *line) == 0
    assert without("012", *line) == 0


@pytest.mark.parametrize("command", [["config", "reference"], ["config", "show", str(CONFIG)]])
def test_a_full_disk_behind_stdout_is_one_sentence(command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *command], cwd=ROOT, timeout=60, check=False,
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    sentence = "the output cannot be written: No space left on device; make room there\n"
    assert done.stderr == sentence
