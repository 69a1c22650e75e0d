"""`instruments sync | find | show`, in a home of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.cli.configuration import load_config
from pipeline.core.clock import IST
from pipeline.instruments.synthetic import csv_lines
from tests.instruments.lists import DAY, small_list
from tests.sim.harness import simulator


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    yield tmp_path


@pytest.fixture
def csv(home: Path) -> Path:
    file = home / "kite.csv"
    file.write_text("".join(csv_lines(small_list())))
    written = datetime(DAY.year, DAY.month, DAY.day, 8, 30, tzinfo=IST).timestamp()
    os.utime(file, (written, written))
    return file


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main.run(["instruments", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_sync_from_a_csv_file(csv: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "sync", "--csv", str(csv))
    assert found == {
        "file": str(home / "data" / "tickrail" / "instruments.sqlite"),
        "day": "2024-11-20",
        "source": "csv kite.csv",
        "rows": len(small_list()),
        "skipped": 0,
        "skipped_examples": [],
    }
    shown = as_json(capsys, "show", "NSE:INFY", "NSE_INDEX:NIFTY", "NFO:NIFTY28NOV24FUT")
    assert [row["instrument_token"] for row in shown["instruments"]] == [408065, 256265, 8_980_226]


def test_broken_rows_are_told_by_line(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with csv.open("a") as file:
        file.write("1,2,3\n" + ",".join(["x" * 1_000_000] * 12) + "\n")
    assert main.run(["instruments", "sync", "--csv", str(csv)]) == 0
    told = capsys.readouterr()
    assert "2 rows were skipped: line 510: too few columns; line 511: " in told.err
    assert f"{len(small_list())} instruments of 20" in told.out


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "no column instrument_token"),
        (b"a,b\n1,2\n", "no column instrument_token"),
        (b"\xff\xfe\0\0" * 100, "no column"),
        (b"x" * 3_000_000, "field larger than field limit"),
    ],
)
def test_a_file_that_is_no_list(
    home: Path, content: bytes, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "bad.csv").write_bytes(content)
    assert main.run(["instruments", "sync", "--csv", str(home / "bad.csv")]) == 1
    assert found in capsys.readouterr().err
    assert not list((home / "data" / "tickrail").iterdir())


def test_a_part_of_a_list_needs_force(
    csv: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_json(capsys, "sync", "--csv", str(csv))
    (home / "part.csv").write_text("".join(csv.read_text().splitlines(keepends=True)[:100]))
    assert main.run(["instruments", "sync", "--csv", str(home / "part.csv")]) == 1
    assert "--force" in capsys.readouterr().err
    found = as_json(capsys, "sync", "--csv", str(home / "part.csv"), "--force")
    assert found["rows"] == 99


@pytest.mark.parametrize(
    "options", [[], ["--simulated", "--csv", "x"], ["--account", "a"], ["--config", "x"]]
)
def test_sync_wants_one_source(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["instruments", "sync", *options]) == 2
    assert "--csv FILE" in capsys.readouterr().err


def test_a_missing_csv_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["instruments", "sync", "--csv", str(home / "none.csv")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_sync_of_a_made_up_list(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "sync", "--simulated", "--rows", "3000")
    assert found["rows"] == 3000 and found["source"] == "simulated, seed 1"
    shown = as_json(capsys, "show", "NFO:NIFTY@weekly:atm+-3", "884737")
    assert len(shown["instruments"]) == 15
    assert shown["expanded"][0]["spot"] == 24_600.0


def test_the_file_of_a_config(csv: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = home / "c.toml"
    config.write_text(
        '[instruments]\nfile = "mine.sqlite"\n[simulator]\n[[account]]\nname = "a"\n'
        'url = "simulator"\napi_key = "demo"\n[[connection]]\naccount = "a"\n'
        '[[subscription]]\ninstruments = ["NSE:INFY"]\n'
    )
    as_json(capsys, "sync", "--csv", str(csv), "-c", str(config))
    assert (home / "mine.sqlite").is_file()
    assert len(as_json(capsys, "find", "infy", "-c", str(config))) > 1
    assert main.run(["config", "check", str(config)]) == 0
    told = capsys.readouterr()
    assert "1 instruments" in told.out and "warning: the instrument list" in told.err
    config.write_text(config.read_text().replace("NSE:INFY", "NSE:INFI"))
    assert main.run(["config", "check", str(config)]) == 78
    assert "did you mean NSE:INFY" in capsys.readouterr().err
    assert main.run(["config", "show", str(config)]) == 0


def test_find_and_show_for_people(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys, "sync", "--csv", str(csv))
    assert main.run(["instruments", "find", "nifty", "24000", "ce", "--limit", "2"]) == 0
    told = capsys.readouterr()
    assert "NFO:NIFTY24N2124000CE" in told.out and "NFO:NIFTY21NOV2424000CE" in told.out
    assert "4 found, 2 shown" in told.out
    assert "warning: the instrument list" in told.err
    assert main.run(["instruments", "show", "NFO:VEDL@2024-12-26:300", "NSE:INFI"]) == 1
    told = capsys.readouterr()
    assert "did you mean NSE:INFY" in told.err


def test_brackets_in_a_name_are_shown(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are no markup: it would be gone, or end the command."""
    text = csv.read_text()
    assert "408065,1594,INFY,Infy," in text
    csv.write_text(text.replace("408065,1594,INFY,Infy,", "408065,1594,INFY,Infy [dim] [/OLD],"))
    as_json(capsys, "sync", "--csv", str(csv))
    assert main.run(["instruments", "find", "Infy"]) == 0
    assert "Infy [dim] [/OLD]" in capsys.readouterr().out


def test_nothing_found(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json(capsys, "sync", "--csv", str(csv))
    assert as_json(capsys, "find", "qqqqqq", code=1) == []
    assert main.run(["instruments", "find", "NSE:INFI"]) == 1
    assert "did you mean NSE:INFY" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["show", "NSE:INFY"], ["find", "infy"]])
def test_without_a_list_the_command_is_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["instruments", *arguments]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "python -m pipeline instruments sync --csv FILE" in told


LIVE = """
[[account]]
name = "a"
url = "ws://127.0.0.1:{port}"
api_key = "demo"
[[connection]]
account = "a"
[[subscription]]
instruments = ["NFO:NIFTY@weekly:atm+-1:CE"]
"""


def test_sync_from_the_broker(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("kiteconnect")
    config = home / "c.toml"
    with simulator(home, "--instruments", "3000") as exchange:
        config.write_text(LIVE.format(port=exchange.port))
        found = as_json(capsys, "sync", "--account", "a", "--config", str(config))
        assert (found["rows"], found["source"]) == (3000, "simulated, account a")
        assert main.run(["instruments", "sync", "--account", "b", "--config", str(config)]) == 2
        assert "expected one of a" in capsys.readouterr().err
        # What atm is, the broker says when the pipeline starts.
        warnings: list[str] = []
        asked = load_config(config, warnings=warnings, ask_broker=True)
        assert warnings == [] and len(asked.subscriptions[0].tokens) == 3
    asked = load_config(config, warnings=warnings, ask_broker=True)
    assert "the price of NSE:NIFTY 50, for atm, is the instrument list's" in warnings[0]
    assert len(asked.subscriptions[0].tokens) == 3
    assert main.run(["instruments", "sync", "--account", "a", "--config", str(config)]) == 69
    assert len(as_json(capsys, "show", "NSE:INFY")["instruments"]) == 1  # the list is as it was
