"""`bench` as a command; what it measures is in tests/benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import bench
from pipeline.cli.main import run


def test_an_installed_package_says_where_the_benchmarks_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "_ROOT", tmp_path)
    assert run(["bench"]) == 1
    assert "come with the source tree" in capsys.readouterr().err


def test_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--list", "--json"]) == 0
    found = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert {"decode-100", "end-to-end-100", "latency-180x100"} <= set(found)


@pytest.mark.parametrize("arguments", [["no-such"], ["--transport", "carrier-pigeon"]])
def test_what_is_not_there_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", *arguments]) == 2
    assert arguments[-1] in capsys.readouterr().err
