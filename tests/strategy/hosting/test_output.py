"""What user code prints: whole lines, bounded, counted, and never in anybody's way."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading

import numpy as np
import pytest

from pipeline.core import layout
from pipeline.strategy.hosting.output import LINES_BURST, LINES_PER_S, Bounded, Budget, LogStream


class Rig:
    """A stream whose lines are kept, under a clock of the test's."""

    def __init__(self) -> None:
        self.now = 0
        self.lines: list[tuple[int, str]] = []
        self.record = np.zeros((), layout.dtypes["StrategyStatusC"])
        log = logging.Logger("test")
        log.addHandler(self._handler())
        budget = Budget(lambda: self.now)
        self.out = LogStream(log, logging.INFO, budget, self.record)
        self.err = LogStream(log, logging.WARNING, budget, self.record)

    def _handler(self) -> logging.Handler:
        handler = logging.Handler()
        handler.emit = lambda r: self.lines.append((r.levelno, r.getMessage()))  # type: ignore[method-assign]
        return handler

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.lines]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_lines_are_passed_on_whole(rig: Rig) -> None:
    print("one", 2, file=rig.out)
    rig.out.write("th")
    rig.out.write("ree\n\n  \nfo")
    print("five %d", file=rig.err)
    assert rig.lines == [
        (logging.INFO, "one 2"), (logging.INFO, "three"), (logging.WARNING, "five %d"),
    ]  # fmt: skip
    rig.out.finish()
    assert rig.texts[-1] == "fo"
    assert int(rig.record["output_lines"]) == 4


def test_a_megabyte_of_lines_is_a_burst_and_a_count(rig: Rig) -> None:
    rig.out.write("x" * 9 + "\n" * 1)
    rig.out.write(("y" * 9 + "\n") * 100_000)
    assert len(rig.lines) == LINES_BURST
    assert int(rig.record["output_lines_dropped"]) == 100_001 - LINES_BURST
    rig.now += 10**9
    rig.out.write("z\n" * 1000)
    assert len(rig.lines) == LINES_BURST + LINES_PER_S


def test_a_megabyte_without_an_end_keeps_memory_flat(rig: Rig) -> None:
    for _ in range(256):
        rig.out.write("x" * 4096)
    rig.out.finish()
    assert len(rig.lines) == LINES_BURST
    assert max(map(len, rig.texts)) <= 4096


def test_bytes_and_everything_else_a_stream_can(rig: Rig) -> None:
    rig.out.buffer.write(b"raw \xff\n")
    rig.out.flush()
    assert rig.texts == ["raw \ufffd"]
    assert rig.out.writable() and not rig.out.isatty() and rig.out.fileno() == 2
    assert (rig.out.encoding, isinstance(rig.out, io.TextIOBase)) == ("utf-8", True)
    with pytest.raises(TypeError, match="must be str"):
        rig.out.write(b"bytes")  # type: ignore[arg-type]


def test_what_user_code_logs_is_bounded_alike(rig: Rig) -> None:
    bounded = Bounded(Budget(lambda: rig.now), rig.record)
    theirs = logging.makeLogRecord({"name": "mine.inner"})
    passed = sum(bounded.filter(theirs) for _ in range(5000))
    assert passed == LINES_BURST == int(rig.record["output_lines"])
    assert int(rig.record["output_lines_dropped"]) == 5000 - LINES_BURST
    assert bounded.filter(logging.makeLogRecord({"name": "pipeline.strategy"}))


def test_threads_do_not_mix_their_lines(rig: Rig) -> None:
    def speak(word: str) -> None:
        for _ in range(20):
            rig.out.write(word)
            rig.out.write(word + "\n")

    threads = [threading.Thread(target=speak, args=(word,)) for word in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rig.texts) == sorted(f"{word * 2}" for word in "abcd" for _ in range(20))


@pytest.mark.parametrize("stream", ["sys.stderr", "sys.stdout"])
def test_a_handler_of_the_user_s_on_the_redirected_streams_does_not_come_back(stream: str) -> None:
    code = f"""
import logging, sys, types
from pipeline.strategy.hosting.__main__ import _redirect
from pipeline.strategy.hosting.output import Budget
logging.basicConfig(format="%(message)s", level=logging.INFO)
page = types.SimpleNamespace(record={{"output_lines": 0, "output_lines_dropped": 0}})
_redirect(Budget(), page)
logging.getLogger().addHandler(logging.StreamHandler({stream}))
print("printed")
logging.getLogger("mine").warning("logged")
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.splitlines().count("printed") == 1
    assert "Recursion" not in result.stderr and "logged" in result.stderr
