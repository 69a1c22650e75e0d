"""Checks of shared memory and of what instances left."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path

import pytest

from pipeline.cli.doctor import memory
from pipeline.cli.doctor.finding import Level, Machine
from pipeline.core.errors import SegmentError
from pipeline.shm.instance import InstanceFile
from pipeline.shm.names import InstancePaths, user_directory
from pipeline.shm.plan import MemoryPlan, plan_memory

HERE = Machine()


@pytest.fixture
def plan() -> MemoryPlan:
    return plan_memory(memory.default_config())


def levels(found: object) -> list[Level]:
    return [finding.level for finding in found]  # type: ignore[attr-defined]


def test_room(plan: MemoryPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path)
    monkeypatch.setattr(memory, "free_bytes", lambda directory: 2**40)
    Available = namedtuple("Available", "available")
    monkeypatch.setattr("psutil.virtual_memory", lambda: Available(2**40))
    assert levels(memory.check_room(machine, plan, tmp_path)) == [Level.OK, Level.OK]
    monkeypatch.setattr(memory, "free_bytes", lambda directory: 2**20)
    monkeypatch.setattr("psutil.virtual_memory", lambda: Available(2**20))
    full, low = memory.check_room(machine, plan, tmp_path)
    assert full.level is Level.BAD and "--shm-size=" in full.mend
    assert plan.key_to_lower in full.text
    assert low.level is Level.WARN


def test_file_system_that_is_not_in_memory(plan: MemoryPlan, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "mounts").write_text(f"x / ext4 rw 0 0\ny {tmp_path} xfs rw 0 0\n")
    found = [f for f in memory.check_room(Machine(tmp_path), plan, tmp_path) if "xfs" in f.text]
    assert [f.level for f in found] == [Level.WARN]


def test_directory_that_is_not_there(plan: MemoryPlan, tmp_path: Path) -> None:
    assert levels(memory.check_room(HERE, plan, tmp_path / "none")) == [Level.BAD]


def test_no_instances(tmp_path: Path) -> None:
    assert levels(memory.check_instances(HERE, tmp_path)) == [Level.OK]


def test_running_instance_and_strange_folder(tmp_path: Path) -> None:
    instance = InstanceFile.claim(InstancePaths("alive", tmp_path))
    try:
        (user_directory(tmp_path) / "strange").mkdir(mode=0o700)
        strange, running = memory.check_instances(HERE, tmp_path)
        assert strange.level is Level.WARN and strange.mend.startswith("rm -r ")
        assert running.level is Level.OK and f"alive (process {os.getpid()})" in running.text
    finally:
        os.close(instance.lock)


def test_instance_that_a_crash_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = InstanceFile.claim(InstancePaths("dead", tmp_path))
    os.close(instance.lock)
    monkeypatch.setattr("pipeline.shm.instance.is_alive", lambda pid, started: False)
    stale, running = memory.check_instances(HERE, tmp_path)
    assert stale.mend == "python -m pipeline clean dead"
    assert running.text == "running: none"


def test_directory_open_to_others_or_a_link(tmp_path: Path) -> None:
    directory = user_directory(tmp_path)
    directory.mkdir()
    directory.chmod(0o755)
    [found] = memory.check_instances(HERE, tmp_path)
    assert found.mend == f"chmod 700 {directory}"
    directory.rmdir()
    directory.symlink_to(tmp_path)
    [found] = memory.check_instances(HERE, tmp_path)
    assert found.level is Level.BAD and "rm -rf" in found.mend


def test_config_problems_are_findings(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[feed]\nspin_us = -1\n")
    config, found = memory.read_config(file)
    assert config is None
    assert [f.text.partition(":")[0] for f in found] == ["feed.spin_us", "account", "connection"]
    assert all(f.level is Level.BAD and f.mend for f in found)


def test_segment_errors_are_findings(
    plan: MemoryPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path) -> int:
        raise SegmentError("no such directory")

    monkeypatch.setattr(memory, "free_bytes", refuse)
    assert levels(memory.check_room(HERE, plan, tmp_path)) == [Level.BAD]
