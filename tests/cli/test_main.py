"""Finding commands, and how errors end."""

from __future__ import annotations

import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.cli.main import COMMANDS, Entry
from pipeline.core.errors import AuthError, InstanceRunning
from pipeline.core.secrets import Secret

CANARY = "cAnArYtOkEn0123456789abcdef"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A command called `try`, whose `command` the test sets."""
    module = types.ModuleType("pipeline.cli.try_")
    module.__spec__ = types.SimpleNamespace(name=module.__name__)  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "try", Entry("pipeline.cli.try_:command", "Try."))
    return module


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


def test_errors_are_a_paragraph_and_a_code(
    command: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise InstanceRunning("demo", 41)

    command.command = fail  # type: ignore[attr-defined]
    assert main.run(["try"]) == 73
    captured = capsys.readouterr()
    assert captured.err.startswith("instance 'demo' runs already, as process 41")
    assert captured.err.count("\n") == 1 and captured.out == ""


def test_debug_shows_the_traceback(
    command: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise AuthError("rejected")

    command.command = fail  # type: ignore[attr-defined]
    assert main.run(["try", "--debug"]) == 77
    assert "Traceback" in capsys.readouterr().err


def test_errors_do_not_tell_secrets(
    command: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise AuthError(f"rejected {Secret(CANARY).reveal()}")

    command.command = fail  # type: ignore[attr-defined]
    assert main.run(["try"]) == 77
    assert CANARY not in capsys.readouterr().err


def test_interrupt_is_130(command: types.ModuleType) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    command.command = fail  # type: ignore[attr-defined]
    assert main.run(["try"]) == 130


def test_a_bug_is_one_line_without_debug(capsys: pytest.CaptureFixture[str]) -> None:
    Secret(CANARY)
    try:
        raise ValueError(f"no {CANARY}")
    except ValueError as error:
        main._short_excepthook(ValueError, error, error.__traceback__)
    text = capsys.readouterr().err
    assert text.startswith("internal error: ValueError: no ***") and text.count("\n") == 1


def test_a_bug_in_a_command_shows_no_secret() -> None:
    code = f"""
import sys
import typer
from pipeline.cli import main
from pipeline.core.secrets import Secret
secret = Secret({CANARY!r})
def fail() -> None:
    {{}}[secret.reveal()]
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(fail)
main.build = lambda arguments: app
sys.exit(main.run([]))
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("internal error: KeyError: '***'")
    assert result.stderr.count("\n") == 1


def test_a_missing_package_names_the_two_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    error = ModuleNotFoundError("No module named 'numpy'", name="numpy")
    assert main._missing(error, debug=False) == 1
    assert "numpy" in (text := capsys.readouterr().err) and "./demo" in text


@pytest.mark.parametrize("arguments", [["nonsense"], ["config", "nonsense"], ["config", "check"]])
def test_usage_errors_are_2(arguments: list[str]) -> None:
    assert main.run(arguments) == 2


def test_commands_that_are_not_there_are_absent() -> None:
    assert main.exists(COMMANDS["config"])
    assert not main.exists(Entry("pipeline.cli.nonsense:command", ""))


def test_overview_lists_every_command_that_exists() -> None:
    result = run("--help")
    assert result.returncode == 0
    for name, entry in COMMANDS.items():
        assert (name in result.stdout.split()) == main.exists(entry)


@pytest.fixture
def unbuilt(tmp_path: Path) -> Path:
    """A checkout in which nothing was compiled."""
    for name in ("pipeline", "ext"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(Path(__file__).parents[2] / name, tmp_path / name, ignore=ignored)
    return tmp_path


def test_unbuilt_checkout_ends_in_one_paragraph(unbuilt: Path) -> None:
    result = run("config", "reference", cwd=unbuilt)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "./demo" in result.stderr and "Traceback" not in result.stderr


def test_doctor_works_in_an_unbuilt_checkout(unbuilt: Path) -> None:
    result = run("doctor", cwd=unbuilt)
    assert result.returncode == 1, result.stderr
    assert "bad   build: not built for this Python" in result.stdout
    assert "setup.py build_ext --inplace" in result.stdout


def test_from_another_folder(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    line = [sys.executable, "-c", "import pipeline.cli.main as m; m.main()", "config", "reference"]
    result = subprocess.run(
        line, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False,
        env={"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout == (root / "examples" / "config" / "reference.toml").read_text()
