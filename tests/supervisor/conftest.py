"""Fixtures of the supervisor's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.supervisor.harness import Instance


@pytest.fixture
def make_instance(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """Return a maker of instances; all are ended, and their descriptors counted, afterwards."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    made: list[Instance] = []

    def make(**options: object) -> Instance:
        made.append(Instance(tmp_path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for instance in made:
        instance.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
