"""`config check | show | presets | reference`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.core.config import presets

EXAMPLES = Path(__file__).parents[2] / "examples" / "config"


def test_check_of_a_good_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "check", str(EXAMPLES / "sim.toml")]) == 0
    assert "3 connections, 9000 instruments, 44.3 MiB" in capsys.readouterr().out


def test_check_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "check", "--json", str(EXAMPLES / "sim.toml")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and found["connections"] == 3 and found["shm_bytes"] > 0


def test_check_of_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[feed]\nspin_us = -1\nspinn = 2\n")
    assert main.run(["config", "check", str(file)]) == 78
    text = capsys.readouterr().err
    for part in ("feed.spin_us", "feed.spinn", "account", "connection", "4 problems"):
        assert part in text
    assert main.run(["config", "check", str(file), "--json"]) == 78
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"] and len(found["problems"]) == 4


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "show", str(EXAMPLES / "kite.toml")]) == 0
    assert tomllib.loads(capsys.readouterr().out)["feed"]["stall_after_s"] == 4.5
    assert main.run(["config", "show", "--json", str(EXAMPLES / "kite.toml")]) == 0
    assert json.loads(capsys.readouterr().out)["session"]["hours"]["open"] == "09:15"


def test_show_with_a_preset_says_where_each_value_is_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my.toml"
    file.write_text(presets.WITHOUT_FILE + "[rings]\ntick_records = 4096\n")
    assert main.run(["config", "show", str(file), "--preset", "hft"]) == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text)["pool"]["instruments_per_connection"] == 1000
    assert "\ntick_records = 4096  # the file\n" in text
    assert "\ninstruments_per_connection = 1000  # preset hft\n" in text
    assert '\npolicy = "least_loaded"\n' in text
    assert main.run(["config", "show", "--preset", "hft", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["origins"]["rings.tick_records"] == "preset hft"
    assert found["rings"]["tick_records"] == 200_000


def test_presets_are_listed_and_checked_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["config", "presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(presets.presets())
    assert max(map(len, lines)) <= 80
    assert main.run(["config", "presets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == presets.summaries()
    file = tmp_path / "my.toml"
    file.write_text(presets.WITHOUT_FILE)
    assert main.run(["config", "check", str(file), "--preset", "portfolio"]) == 0
    assert "100 instruments" in capsys.readouterr().out
    assert main.run(["config", "check", str(file), "--preset", "port"]) == 78
    assert "did you mean portfolio?" in capsys.readouterr().err


@pytest.mark.parametrize("line", [["run"], ["config", "show"]])
def test_neither_a_file_nor_a_preset(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(line) == 2
    assert "--preset" in capsys.readouterr().err


@pytest.mark.parametrize("option", [[], ["--markdown"], ["--json"]])
def test_reference(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "reference", *option]) == 0
    text = capsys.readouterr().out
    assert "hang_timeout_s" in text
    if option == ["--json"]:
        assert json.loads(text)["feed"]["keys"]["spin_us"]["default"] == 0
