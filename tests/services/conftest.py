"""A whole instance with real segments, filled by the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.status.establish import Established


@pytest.fixture
def established(tmp_path: Path) -> Iterator[Established]:
    """Three connections, one decoder, everything in order."""
    made = Established("whole", tmp_path)
    made.fill()
    made.beat()
    yield made
    made.end()
