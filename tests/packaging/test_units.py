"""The systemd unit and the container file: that they name what there is, and mean what we do."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest
import typer

from pipeline.cli.main import build
from pipeline.core.config.market import AccountConfig
from pipeline.core.errors import AuthError, ConfigError
from tests.conftest import ROOT

UNIT = ROOT / "packaging" / "systemd" / "tickrail@.service"
OPERATIONS = ROOT / "docs" / "operations.md"
CONTAINER = ROOT / "packaging" / "container" / "Containerfile"


@pytest.fixture
def unit() -> RawConfigParser:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser


def _accepted(words: list[str]) -> None:
    """Fail unless our command line takes these words."""
    group = typer.main.get_command(build(words))
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    command.make_context(words[0], words[1:])


def test_the_unit_starts_what_there_is_and_knows_our_exit_codes(unit: RawConfigParser) -> None:
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert float(service["WatchdogSec"]) >= 4  # a turn of the supervisor loop is 0.5 s at most
    final = {int(AuthError.exit_code), int(ConfigError.exit_code)}
    assert set(map(int, service["RestartPreventExitStatus"].split())) == final
    assert service["KillMode"] == "mixed" and service["NoNewPrivileges"] == "yes"
    words = service["ExecStart"].split()
    assert words[1:3] == ["-m", "pipeline"]
    _accepted(words[3:])


def _drop_in() -> str:
    """Return the settings for a unit that may see /dev/cpu_dma_latency."""
    blocks = re.findall(r"```\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
    [found] = [block for block in blocks if block.startswith("[Service]")]
    return found


def test_the_unit_and_the_page_say_the_same_of_the_device() -> None:
    commented = [line.removeprefix("#   ") for line in UNIT.read_text().splitlines()]
    for line in _drop_in().splitlines()[1:]:
        assert line in commented
    [rule] = [line for line in commented if line.startswith("KERNEL==")]
    assert rule in OPERATIONS.read_text()


@pytest.mark.parametrize("with_device", [False, True])
def test_systemd_takes_the_unit(tmp_path: Path, with_device: bool) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    if with_device:
        folder = tmp_path / f"{UNIT.name}.d"
        folder.mkdir()
        (folder / "device.conf").write_text(_drop_in())
    text = re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text())
    (tmp_path / UNIT.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found = [line for line in done.stderr.splitlines() if UNIT.name.partition("@")[0] in line]
    assert (done.returncode, found) == (0, [])


def _instructions() -> list[list[str]]:
    text = CONTAINER.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [line.split(None, 1) for line in lines]


def test_the_container_copies_what_there_is() -> None:
    for instruction, rest in _instructions():
        if instruction == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source


def test_the_container_is_given_what_it_copies_and_no_builds_of_the_host() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    wanted = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert "*" in lines[: lines.index(f"!{wanted[0]}")] and "**/*.so" in lines
    copied: set[str] = set()
    for instruction, rest in _instructions():
        if instruction == "COPY" and not rest.startswith("--from"):
            copied.update(rest.split()[:-1])
    assert copied == set(wanted)


@pytest.mark.parametrize("path", [UNIT, OPERATIONS])
def test_tokens_are_named_by_the_key_that_they_have(path: Path) -> None:
    names = set(re.findall(r'(\w+) = "file:', path.read_text()))
    assert names and names <= {field.name for field in dataclasses.fields(AccountConfig)}


def test_the_container_runs_as_a_user_of_its_own_and_says_how_it_is() -> None:
    found = dict(_instructions())
    assert found["USER"].isdigit() and int(found["USER"]) > 0
    health = re.findall(r'"([^"]+)"', found["HEALTHCHECK"])
    entry = re.findall(r'"([^"]+)"', found["ENTRYPOINT"])
    assert health[: len(entry)] == entry == ["python", "-m", "pipeline"]
    _accepted(health[3:])
    _accepted(re.findall(r'"([^"]+)"', found["CMD"]))
    assert "--shm-size" in CONTAINER.read_text()
