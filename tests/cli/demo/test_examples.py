"""Finding the demos by name, their configs, and what is said when something is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.brokers.registry import broker_limits
from pipeline.cli.demo import examples, scene
from pipeline.cli.demo.command import command
from pipeline.core.config import parse
from pipeline.core.errors import ConfigError, PipelineError
from tests.conftest import ROOT


def test_names_may_be_written_with_a_hyphen_and_unknown_ones_are_told() -> None:
    assert examples.find("mode-change") == ROOT / "examples" / "pool" / "mode_change.py"
    for wrong in ("mode_chance", "show"):
        with pytest.raises(ConfigError, match="one of dynamic_subscription, .*single_connection"):
            examples.find(wrong)


def test_options_that_a_demo_by_name_would_not_heed_are_refused() -> None:
    with pytest.raises(ConfigError) as told:
        command("gateway", False, 1.0, "max", 3, None, 1, True)
    assert [problem.path for problem in told.value.problems] == ["--rate", "--json"]
    with pytest.raises(ConfigError, match="more than 0"):
        command("manager", False, 0.0, "18000", 3, None, 1, False)


@pytest.mark.parametrize("name", examples.summaries())
def test_the_config_beside_a_demo_is_a_pool_under_another_name(name: str) -> None:
    text = scene.config_text(examples.find(name), "demo-1")
    config = parse(text, limits=broker_limits())
    assert config.instance.name == "demo-1" and config.pool is not None
    assert config.simulator is not None and not config.subscriptions
    assert len(config.accounts) == (2 if name == "multi_api" else 1)


def test_an_installed_package_says_that_it_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "FOLDER", tmp_path / "none")
    with pytest.raises(PipelineError, match="from a checkout"):
        examples.find("manager")


def test_an_instance_that_does_not_start_is_told_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(scene, "config_text", lambda *_: "[feed]\nspinn = 1\n")
    with pytest.raises(PipelineError, match=r"ended with 78; it said:\n(.|\n)*feed\.spinn"):
        examples.play("manager", 1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_says_in_a_line_that_there_is_no_instance() -> None:
    done = subprocess.run(
        [sys.executable, str(examples.find("raw_frames")), "never-there"], text=True,
        capture_output=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no instance 'never-there' runs")
    assert done.stderr.count("\n") == 1
