"""Fixtures of the system tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.rig import Run


@pytest.fixture
def make_run(tmp_path: Path, shm_root: Path) -> Iterator[Callable[..., Run]]:
    """Return a maker of runs; whatever still runs afterwards is ended."""
    made: list[Run] = []

    def make(**options: object) -> Run:
        made.append(Run(tmp_path, shm_root, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for run in made:
        run.close()
