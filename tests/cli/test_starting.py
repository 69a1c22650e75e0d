"""What `run` refuses before anything is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.core.extras import install_command
from tests.conftest import ROOT

CONFIG = str(ROOT / "examples" / "config" / "sim.toml")


def test_every_wrong_option_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "--config", CONFIG, "--log-level", "loud", "--log-format", "xml"]
    assert main.run(line) == 78
    text = capsys.readouterr().err
    assert "run: 2 problems" in text
    assert "--log-level: found 'loud'; expected debug, info" in text
    assert "--log-format: found 'xml'; expected text, json" in text


def _without_websockets(code: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.modules['websockets'] = None\n{code}"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def test_a_file_may_stand_without_the_option_but_not_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`config check` takes it so, and what was checked is run next."""
    empty = tmp_path / "my.toml"
    empty.write_text("")
    assert main.run(["run", str(empty)]) == main.run(["run", "--config", str(empty)]) == 78
    told = capsys.readouterr().err
    assert told.count("expected at least one [[account]]") == 2
    assert main.run(["run", str(empty), "--config", CONFIG]) == 2
    assert "found two config files" in " ".join(capsys.readouterr().err.split())


def test_a_missing_exchange_is_one_sentence_that_names_the_extra() -> None:
    done = _without_websockets(
        f"from pipeline.cli.main import run; sys.exit(run(['run', '--config', {CONFIG!r}]))"
    )
    assert done.returncode == 1
    assert done.stderr == (
        "the simulated exchange needs the package websockets, which is not installed: "
        f"{install_command('sim')}\n"
    )


def test_live_use_does_not_need_the_exchange() -> None:
    done = _without_websockets("import pipeline.cli.starting, pipeline.supervisor.roles")
    assert (done.returncode, done.stderr) == (0, "")
