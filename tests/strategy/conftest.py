"""Fake instances: everything that a strategy reads, written by the test itself."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.strategy.writer import FakeInstance

Make = Callable[..., FakeInstance]


@pytest.fixture
def make_instance(tmp_path: Path) -> Iterator[Make]:
    """Make fake instances under `tmp_path`; those that still run are ended afterwards."""
    made: list[FakeInstance] = []

    def make(**options: Any) -> FakeInstance:
        name = options.pop("name", f"t-{uuid.uuid4().hex[:8]}")
        made.append(FakeInstance(name, tmp_path, **options))
        return made[-1]

    yield make
    for instance in made:
        if not instance.ended:
            instance.end()


@pytest.fixture
def instance(make_instance: Make) -> FakeInstance:
    """One connection, two instruments, running."""
    return make_instance()
