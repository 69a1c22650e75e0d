"""`stat`, `top` once, and `clean`, on instances live, sick and dead."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.core.enums import Reason, State
from tests.services.status.establish import Established

ROOT = Path(__file__).parents[2]


@pytest.fixture
def established(tmp_path: Path) -> Iterator[Established]:
    made = Established("whole", tmp_path)
    made.fill()
    made.beat()
    yield made
    made.end()


def run(established: Established, *words: str) -> int:
    return main.run([*words, "--shm-directory", str(established.paths.root)])


def test_stat_shows_every_section(
    established: Established, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(established, "stat") == 0
    text = capsys.readouterr().out
    for part in ("whole  RUNNING", "healthy", "confirmed", "decoder packets", "simulator", "p99.9"):
        assert part in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_stat_as_json(established: Established, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(established, "stat", "whole", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["healthy"] is True and found["problems"] == []
    assert found["connections"][0]["instruments"]["confirmed"] == 12


def test_health_is_an_exit_code(
    established: Established, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(established, "stat", "--healthy") == 0
    assert capsys.readouterr().out == "whole is healthy\n"
    established.feeds[0].set_state(State.STALLED, Reason.STALL)
    assert run(established, "stat", "--healthy") == 1
    assert "connection 0 is STALLED" in capsys.readouterr().out


def test_a_crashed_instance_is_shown_and_cleaned(
    established: Established, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(established, "clean", "whole") == 73
    assert str(os.getpid()) in capsys.readouterr().err
    assert run(established, "clean", "--all", "--json") == 0
    assert json.loads(capsys.readouterr().out)["alive"] == [{"name": "whole", "pid": os.getpid()}]
    established.crash()
    assert run(established, "stat") == 0
    assert "DEAD" in capsys.readouterr().out
    assert run(established, "top") == 0
    assert "DEAD" in capsys.readouterr().out
    assert run(established, "clean") == 0
    assert "whole: removed" in capsys.readouterr().out
    assert not established.paths.directory.exists()
    assert run(established, "clean", "--all") == 0
    assert capsys.readouterr().out == "nothing to clean\n"
    assert run(established, "clean", "whole") == 1
    assert run(established, "stat") == 1


def test_several_instances_need_a_name(
    established: Established, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Established("another", tmp_path, connections=1)
    assert run(established, "stat") == 2
    assert "another, whole" in capsys.readouterr().err
    assert run(established, "clean", "whole", "--all") == 2
    other.end()


def test_top_into_a_pipe_is_one_look(
    established: Established, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(established, "top") == 0
    text = capsys.readouterr().out
    assert "ticks/s" in text and "Ctrl-C" not in text


def test_top_on_a_terminal_until_ctrl_c(established: Established) -> None:
    lines = _watch(established, columns=80, rows=24)
    text = "\n".join(lines)
    assert "whole  RUNNING" in text and "Ctrl-C ends" in text
    assert "Traceback" not in text and "Aborted" not in text


def _top_as_json(established: Established) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "top", "--json", "--shm-directory",
         str(established.paths.root)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_top_as_json_is_stat_line_by_line(
    established: Established, capsys: pytest.CaptureFixture[str]
) -> None:
    with _top_as_json(established) as top:
        assert top.stdout is not None
        documents = [json.loads(top.stdout.readline()) for _ in range(3)]
        top.send_signal(signal.SIGINT)
        _, complaint = top.communicate(timeout=30)
    assert (top.returncode, complaint) == (130, "")
    assert run(established, "stat", "--json") == 0
    stat = json.loads(capsys.readouterr().out)
    for found in documents:
        assert found.keys() == stat.keys()
        assert found["connections"][0]["instruments"] == stat["connections"][0]["instruments"]
        assert found["instance_id"] == stat["instance_id"]
    taken = [found["taken_mono_ns"] for found in documents]
    assert taken == sorted(set(taken))


def test_top_as_json_ends_quietly_when_nobody_reads(established: Established) -> None:
    with _top_as_json(established) as top:
        assert top.stdout is not None and top.stderr is not None
        assert json.loads(top.stdout.readline())["name"] == "whole"
        top.stdout.close()
        assert top.wait(timeout=30) == 0
        assert top.stderr.read() == ""


def test_top_as_json_ends_with_the_instance(established: Established) -> None:
    with _top_as_json(established) as top:
        assert top.stdout is not None
        assert json.loads(top.stdout.readline())["name"] == "whole"
        established.crash()
        assert run(established, "clean", "whole") == 0
        _, complaint = top.communicate(timeout=30)
    assert (top.returncode, complaint) == (0, "")


def _watch(established: Established, *, columns: int, rows: int) -> list[str]:
    """Run `top` on a terminal of its own, press Ctrl-C after its first screen."""
    leader, follower = pty.openpty()
    os.set_blocking(leader, False)
    arguments = [sys.executable, "-m", "pipeline", "top", "--shm-directory",
                 str(established.paths.root)]  # fmt: skip
    size = {"COLUMNS": str(columns), "LINES": str(rows), "TERM": "xterm"}
    top = subprocess.Popen(
        arguments, cwd=ROOT, stdin=follower, stdout=follower, stderr=follower,
        env={**os.environ, **size},
    )  # fmt: skip
    os.close(follower)
    seen, pressed = "", False
    deadline = time.monotonic() + 60
    while top.poll() is None or select.select([leader], [], [], 0)[0]:
        assert time.monotonic() < deadline
        established.beat()
        if select.select([leader], [], [], 0.1)[0]:
            try:
                seen += os.read(leader, 65536).decode()
            except OSError:
                break  # the terminal is gone with its last user
        if "Ctrl-C ends" in seen and not pressed:
            top.send_signal(signal.SIGINT)
            pressed = True
    os.close(leader)
    assert top.wait(timeout=30) == 130
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen).splitlines()


def test_nothing_there_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("stat", "top", "clean"):
        assert main.run([command, "--shm-directory", str(tmp_path)]) == 1
        text = capsys.readouterr().err
        assert text.startswith("no instance is running, and none was left by a crash, in ")
        assert "(any)" not in text and text.count("\n") == 1


@pytest.mark.parametrize("command", ["stat", "top", "clean"])
def test_a_bad_name_is_a_usage_error(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([command, "No Good", "--shm-directory", str(tmp_path)]) == 2
    assert "instance name 'No Good': expected" in capsys.readouterr().err


def test_tables_of_the_dead_are_marked_as_history(
    established: Established, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("stat", "top"):
        assert run(established, command) == 0
        assert "last known" not in capsys.readouterr().out
    established.crash()
    for command in ("stat", "top"):
        assert run(established, command) == 0
        text = capsys.readouterr().out
        assert "below: what was last known before it died" in text and "last state" in text
        assert max(map(len, text.splitlines())) <= 80


def test_a_segment_that_somebody_removed_is_named(
    established: Established, capsys: pytest.CaptureFixture[str]
) -> None:
    (established.paths.directory / "c0.ticks").unlink()
    assert run(established, "stat") == 1
    text = capsys.readouterr().err
    assert "c0.ticks is in its manifest and not there" in text and "clean whole" in text
    assert str(os.getpid()) in text and text.count("\n") == 1
