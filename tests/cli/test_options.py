"""What stands before a command."""

from __future__ import annotations

import pytest

import pipeline
from pipeline.cli import main
from pipeline.core.layout import fingerprint, layout_version


def test_the_version_says_which_layout_it_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    layout = f"layout {layout_version} ({fingerprint:016x})"
    assert capsys.readouterr().out == f"tickrail {pipeline.__version__}, {layout}\n"


def test_a_version_beside_a_command_is_not_an_option_of_the_command() -> None:
    assert main.run(["clean", "--version"]) == 2
