"""What stands before a command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer.main
from rich.text import Text

import pipeline
from pipeline.cli import main
from pipeline.core.layout import fingerprint, layout_version


def test_the_version_says_which_layout_it_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    layout = f"layout {layout_version} ({fingerprint:016x})"
    assert capsys.readouterr().out == f"tickrail {pipeline.__version__}, {layout}\n"


def test_a_version_beside_a_command_is_not_an_option_of_the_command() -> None:
    assert main.run(["clean", "--version"]) == 2


def test_a_command_s_own_help_says_more_than_the_overview(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.run(["run", "--help"]) == 0
    assert "Ctrl-C or SIGTERM ends it in good order." in " ".join(capsys.readouterr().out.split())
    assert main.run(["--help"]) == 0
    assert "Ctrl-C" not in capsys.readouterr().out


def help_texts(command: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield where a text stands, and the text, of a command and all below it."""
    yield path, getattr(command, "help", None) or ""
    for parameter in getattr(command, "params", []):
        yield f"{path} {parameter.name}", getattr(parameter, "help", None) or ""
    for name, below in getattr(command, "commands", {}).items():
        yield from help_texts(below, f"{path} {name}")


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_swallows_no_bracket(name: str) -> None:
    """Help is markup: a table of the config in brackets is gone from it unless escaped."""
    command = typer.main.get_command(main.build([name]))
    texts = dict(help_texts(command.commands[name], name))  # type: ignore[attr-defined]
    assert any(texts.values())
    for place, text in texts.items():
        assert Text.from_markup(text).plain == text.replace("\\[", "["), place
