"""The instance file: one supervisor per name, crashes, and a clean end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.enums import Broker, InstanceState, Reason, SegmentKind
from pipeline.core.errors import InstanceNotFound, InstanceRunning, SegmentError
from pipeline.shm import specs
from pipeline.shm.identity import boot_id, is_alive, own_identity, start_time
from pipeline.shm.instance import (
    InstanceFile,
    InstanceView,
    ManifestEntry,
    clean_instance,
    ended,
    list_instances,
    open_instance,
)
from pipeline.shm.names import InstancePaths, user_directory
from pipeline.shm.segment import Segment

CLAIM_AND_DIE = """
import os, sys
from pathlib import Path
from pipeline.shm.instance import InstanceFile
from pipeline.shm.names import InstancePaths
InstanceFile.claim(InstancePaths("demo", Path(sys.argv[1])))
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def paths(tmp_path: Path) -> InstancePaths:
    return InstancePaths("demo", tmp_path)


def test_a_second_supervisor_is_refused_with_the_pid_of_the_first(paths: InstancePaths) -> None:
    instance = InstanceFile.claim(paths)
    with pytest.raises(InstanceRunning, match=str(os.getpid())):
        InstanceFile.claim(paths)
    with pytest.raises(InstanceRunning):
        clean_instance(paths)
    instance.end(Reason.SHUTDOWN, 0)
    assert not user_directory(paths.root).exists()


def test_readers_see_state_and_manifest(paths: InstancePaths) -> None:
    instance = InstanceFile.claim(paths)
    entries = [
        ManifestEntry(SegmentKind.TICKS, 0, 0, Broker.KITE),
        ManifestEntry(SegmentKind.LATEST, 0),
    ]
    instance.set_manifest(entries)
    instance.set_state(InstanceState.RUNNING, Reason.STARTED)
    view = open_instance("demo", paths.root)
    info = view.read()
    assert info.is_live
    assert info.manifest == tuple(entries)
    assert (info.connection_count, info.decoder_count) == (1, 1)
    assert info.instance_id == instance.instance_id
    instance.end(Reason.SHUTDOWN, 0)
    assert view.read().state is InstanceState.ENDED
    assert not view.read().is_live
    assert str(ended(view)) == "instance 'demo' has ended"


def test_a_missing_instance_names_those_that_run(paths: InstancePaths) -> None:
    instance = InstanceFile.claim(paths)
    with pytest.raises(InstanceNotFound, match="running: demo"):
        open_instance("other", paths.root)
    instance.end(Reason.SHUTDOWN, 0)
    with pytest.raises(InstanceNotFound, match="running: none"):
        open_instance("demo", paths.root)


@pytest.mark.parametrize("name", ["", "No Good", "../up", "a" * 33, 5, None])
def test_what_cannot_be_a_name_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(SegmentError) as caught:
        InstancePaths(name)
    told = f"instance name {name!r}: expected 1 to 32 of the characters a-z, 0-9 and -"
    assert str(caught.value) == told


def test_what_a_crash_left_is_visible_and_the_next_start_is_clean(paths: InstancePaths) -> None:
    process = subprocess.run(
        [sys.executable, "-c", CLAIM_AND_DIE, str(paths.root)], check=False, timeout=30
    )
    assert process.returncode == -9
    (left,) = list_instances(paths.root)
    assert not left.supervisor_alive
    with pytest.raises(InstanceNotFound) as caught:
        open_instance("demo", paths.root)
    option = f"demo --shm-directory {paths.root}`"
    for command in (f"stat {option}", f"clean {option}", "run --config FILE`"):
        assert f"`python -m pipeline {command}" in str(caught.value)
    assert caught.value.crashed == ("demo",) and str(caught.value).count(". ") == 0
    assert str(ended(InstanceView(paths))).startswith(
        f"instance 'demo' has crashed: `python -m pipeline stat {option} shows"
    )
    with pytest.raises(InstanceNotFound, match="running: none; crashed: demo"):
        open_instance("other", paths.root)
    stale = Segment.create(
        paths.segment(SegmentKind.TICKS, 5), specs.ticks(5, capacity=512), instance_id=bytes(16)
    )
    instance = InstanceFile.claim(paths)
    assert not stale.path.exists()
    assert instance.instance_id != left.instance_id
    instance.end(Reason.SHUTDOWN, 0)


def test_clean_removes_what_a_crash_left(paths: InstancePaths) -> None:
    subprocess.run([sys.executable, "-c", CLAIM_AND_DIE, str(paths.root)], check=False, timeout=30)
    clean_instance(paths)
    assert not paths.directory.exists()
    clean_instance(paths)


def test_an_unfinished_instance_file_is_no_instance(paths: InstancePaths) -> None:
    paths.make()
    paths.instance_file.write_bytes(b"")
    with pytest.raises(SegmentError):
        InstanceView(paths)
    assert list_instances(paths.root) == []


@pytest.mark.parametrize("name", ["", "Demo", "a/b", "..", "x" * 33, "a\n"])
def test_names_that_could_leave_the_directory_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SegmentError, match="expected 1 to 32"):
        InstancePaths(name, tmp_path)


def test_a_directory_open_to_others_or_a_link_is_refused(tmp_path: Path) -> None:
    user_directory(tmp_path).mkdir(mode=0o755)
    with pytest.raises(SegmentError, match="open to others"):
        InstancePaths("demo", tmp_path).make()
    user_directory(tmp_path).rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    user_directory(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SegmentError, match="not a directory"):
        InstancePaths("demo", tmp_path).make()


def test_identity_is_more_than_a_pid() -> None:
    pid, started = own_identity()
    assert is_alive(pid, started)
    assert not is_alive(pid, started + 1)
    assert start_time(2**22 + 1) == 0
    assert len(boot_id()) == 16


def test_an_end_beside_a_start_takes_no_directory_for_good(tmp_path: Path) -> None:
    """One that ends removes the user's directory when it is empty, maybe just as we use it."""

    class Raced(InstancePaths):
        tries = 0

        def make(self) -> None:
            self.tries += 1
            if self.tries == 1:
                raise SegmentError("gone meanwhile") from FileNotFoundError()
            super().make()

    instance = InstanceFile.claim(Raced("raced", tmp_path))
    instance.end(Reason.SHUTDOWN, 0)
    with pytest.raises(SegmentError, match="cannot make"):
        InstanceFile.claim(InstancePaths("raced", tmp_path / "none"))


def test_a_file_system_that_takes_no_directory_is_told_of(tmp_path: Path) -> None:
    """As /proc: it is there, and whoever makes a directory in it hears that it is not."""

    class Refused(InstancePaths):
        tries = 0

        def make(self) -> None:
            self.tries += 1
            assert self.tries < 10_000, "for ever, and no signal ends it"
            raise SegmentError("cannot make the directory") from FileNotFoundError()

    with pytest.raises(SegmentError, match="cannot make"):
        InstanceFile.claim(Refused("refused", tmp_path))


def test_a_stray_file_among_the_instances_hides_none_of_them(paths: InstancePaths) -> None:
    instance = InstanceFile.claim(paths)
    (paths.directory.parent / "stray").write_text("no instance")
    (paths.directory.parent / "linked").symlink_to(paths.directory.parent)
    instance.set_state(InstanceState.RUNNING, Reason.STARTED)
    assert [found.name for found in list_instances(paths.root)] == [paths.name]
    with pytest.raises(InstanceNotFound, match=f"running: {paths.name}"):
        open_instance("stray", paths.root)
    instance.end(Reason.SHUTDOWN, 0)
