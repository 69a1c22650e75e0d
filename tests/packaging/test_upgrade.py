"""What docs/operations.md says of upgrading: another layout is refused with both fingerprints."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline
from pipeline.cli import main
from pipeline.core import layout
from tests.strategy.writer import FakeInstance

OTHER = 0x1234_5678_9ABC_DEF0


@pytest.fixture
def instance(shm_root: Path) -> Iterator[FakeInstance]:
    made = FakeInstance(f"old-{uuid.uuid4().hex[:8]}", shm_root)
    yield made
    if not made.ended:
        made.end()


def be_of_another_build(instance: FakeInstance) -> None:
    """Change the fingerprint in every segment of an instance."""
    offset = layout.dtypes["SegmentHeaderC"].fields["fingerprint"][1]
    for path in instance.paths.directory.iterdir():
        if path.is_file():
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(OTHER.to_bytes(8, "little"))


def test_a_reader_of_another_build_is_told_both_fingerprints(
    instance: FakeInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    be_of_another_build(instance)
    with pytest.raises(pipeline.LayoutMismatch) as caught:
        pipeline.attach(instance.paths.name, shm_directory=instance.paths.root)
    assert f"{OTHER:#x}" in str(caught.value) and f"{layout.fingerprint:#x}" in str(caught.value)
    where = ["--shm-directory", str(instance.paths.root)]
    assert main.run(["stat", instance.paths.name, *where]) == 1
    assert f"{OTHER:#x}" in capsys.readouterr().err
    assert main.run(["clean", instance.paths.name, *where]) == 73
    assert "runs already, by another build: stop it" in capsys.readouterr().err


def test_a_follower_is_told_when_the_next_life_is_of_another_build(
    instance: FakeInstance,
) -> None:
    paths = instance.paths
    with pipeline.attach(paths.name, shm_directory=paths.root, follow=True) as market:
        instance.end()
        upgraded = FakeInstance(paths.name, paths.root)
        be_of_another_build(upgraded)
        with pytest.raises(pipeline.LayoutMismatch):
            for _ in market.batches(timeout_s=0.1):
                pass
    upgraded.end()
