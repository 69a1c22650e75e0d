"""The report as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.cli.doctor import command as module
from pipeline.cli.doctor import machine, memory, software
from pipeline.cli.doctor.finding import Finding, Level, Machine

EXAMPLES = Path(__file__).parents[3] / "examples" / "config"


def good(where: Machine) -> Iterator[Finding]:
    yield Finding(Level.OK, "thing", "fine")


def broken(where: Machine) -> Iterator[Finding]:
    yield Finding(Level.BAD, "build", "not there", "make it")


@pytest.fixture(autouse=True)
def _a_good_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "CHECKS", (good,))
    monkeypatch.setattr(machine, "CHECKS", (good,))
    monkeypatch.setattr(memory, "check_room", lambda where, plan, root: good(where))
    monkeypatch.setattr(memory, "check_instances", lambda where, root: good(where))


def test_a_good_machine_is_0_and_shows_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "memory plan" in text and "44.3 MiB" in text and "[rings] tick_records" in text


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["doctor", "--json", "--config", str(EXAMPLES / "sim.toml")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    segments = found["memory"]["segments"]
    assert sum(row["bytes"] for row in segments) == found["memory"]["total_bytes"]


def test_what_is_bad_is_1_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(software, "CHECKS", (broken,))
    assert main.run(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "build: not there" in text and "-> make it" in text
    assert "memory plan" not in text


def test_a_bad_config_is_1(tmp_path: Path) -> None:
    assert main.run(["doctor", "--config", str(tmp_path / "none.toml")]) == 1


def test_nothing_compiled_is_needed_to_say_that_nothing_is_compiled() -> None:
    """The modules that doctor imports at its top import no compiled module."""
    for each in (module, machine, software):
        assert not hasattr(each, "SegmentKind") and not hasattr(each, "np")
