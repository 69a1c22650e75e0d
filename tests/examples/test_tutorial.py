"""The tutorial, run as its reader would: every block in its order, in a folder of its own.

A block with a file's name is that file; `sh terminal` has a terminal of its own and is left
running; any other `sh` must end well. Only the broker's address and key are exchanged for those
of a simulated exchange, and the instance's name for one that nobody else uses.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.shm.names import user_directory
from tests.conftest import ROOT

TUTORIAL = ROOT / "docs" / "tutorial.md"
DEADLINE_S = 60.0
#: Blocks that another test runs.
ELSEWHERE = {"./demo\n. .venv/bin/activate\n": "tests/system/test_demo.py"}
TOKEN = "demo"


class Block(NamedTuple):
    """A fenced block: its words after the fence, and its text."""

    words: list[str]
    text: str


def blocks(text: str) -> Iterator[Block]:
    """Yield every fenced block of a Markdown text."""
    for found in re.finditer(r"^```(\w[^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(found[1].split(), found[2])


class Reader:
    """Somebody who follows the tutorial."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.name = f"tutorial-{os.getpid()}"
        self.terminals: list[tuple[str, subprocess.Popen[str], Path]] = []
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        text = block.text.replace("tutorial", self.name)
        match block.words:
            case ["sh"]:
                self._type(text)
            case ["sh", "terminal"]:
                self._leave_running(text)
            case ["python" | "toml", file]:
                text = text.replace("wss://ws.kite.trade", self.url)
                (self.folder / file).write_text(text.replace("your_api_key", "demo"))
            case _:
                pytest.fail(f"nothing is known of blocks {block.words}")

    def _type(self, text: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=self.environment,
            input=TOKEN, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr

    def _leave_running(self, text: str) -> None:
        log = self.folder / f"terminal-{len(self.terminals)}"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {text}"], cwd=self.folder, env=self.environment, text=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.terminals.append((text, process, log))
        deadline = time.monotonic() + DEADLINE_S
        while not log.read_text():
            assert time.monotonic() < deadline and process.poll() is None, log.read_text()
            time.sleep(0.01)

    def end(self) -> None:
        """Wait for what ends by itself, and press Ctrl-C in the other terminals."""
        for text, process, log in self.terminals:
            runs = "pipeline run" in text
            if runs:
                process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == (130 if runs else 0), log.read_text()

    def kill(self) -> None:
        """End whatever a failure left."""
        for _, process, _ in self.terminals:
            if process.poll() is None:
                process.terminate()
            process.wait(DEADLINE_S)


@pytest.fixture
def exchange() -> Iterator[str]:
    """The address of a simulated exchange that stands for the live broker."""
    line = [sys.executable, "-m", "pipeline", "sim", "--instruments", "10", "--interval", "0.1"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("listening on ").strip()
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


@pytest.mark.timeout(300)
def test_every_block_of_the_tutorial_does_what_it_says(tmp_path: Path, exchange: str) -> None:
    pytest.importorskip("pandas", reason="the optional package pandas is not installed")
    reader = Reader(tmp_path, exchange)
    try:
        for block in blocks(TUTORIAL.read_text()):
            if block.text in ELSEWHERE:
                assert (ROOT / ELSEWHERE[block.text]).exists()
                continue
            reader.follow(block)
        reader.end()
    finally:
        reader.kill()
    assert list(user_directory().glob(f"{reader.name}*")) == []
    watched = reader.terminals[1][2].read_text()
    assert "s without data: PROCESS_KILLED" in watched


def test_the_blocks_are_found() -> None:
    found = list(blocks(TUTORIAL.read_text()))
    assert len(found) == TUTORIAL.read_text().count("\n```\n") == 15
    assert [block.words[0] for block in found].count("python") == 3
