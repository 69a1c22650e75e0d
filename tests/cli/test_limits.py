"""`limits`: every number with its source, and those of a file of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import main

CONFIG = """
[simulator]
[broker_rest]
limits_file = "own.toml"
[[account]]
name = "a"
url = "simulator"
api_key = "demo"
[[connection]]
account = "a"
[[subscription]]
instruments = [408065]
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.run(["limits", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_all_numbers_have_values_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--json")
    found = json.loads(out)
    assert code == 0 and found["broker"] == "kite" and found["limits_file"] is None
    assert found["websocket"]["instruments_per_connection"]["value"] == 3000
    assert found["rest"]["order_place.requests_per_day"]["value"] == 5000
    assert found["rest"]["day_starts"]["value"] == "00:00"
    assert all(row["source"] for part in ("websocket", "rest") for row in found[part].values())


def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 0
    for words in ("WebSocket", "REST", "quote.requests_per_second", "our choice", "3,000"):
        assert words in out


def test_a_config_brings_its_own_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CONFIG)
    own = tmp_path / "own.toml"
    own.write_text('[rest.quote]\nrequests_per_minute = { value = 30, source = "I was told" }\n')
    code, out, _ = run(capsys, "--json", "--config", str(tmp_path / "c.toml"))
    found = json.loads(out)
    assert code == 0 and found["limits_file"] == str(own)
    assert found["rest"]["quote.requests_per_minute"] == {"value": 30, "source": "I was told"}
    assert found["rest"]["quote.requests_per_second"]["value"] == 1
    own.write_text("[rest.quote]\nrequests_per_minute = 30\n")
    code, out, err = run(capsys, "--config", str(tmp_path / "c.toml"))
    assert (code, out) == (78, "") and "rest.quote.requests_per_minute: found 30" in err


def test_an_unknown_broker_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "--broker", "nobody")
    assert code == 2 and "known: kite" in err
