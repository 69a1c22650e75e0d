"""What the tests of the whole gateway start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.instrument import Instrument
from tests.services.gateway.ground import listed


@pytest.fixture
def shares(tmp_path: Path) -> list[Instrument]:
    return listed(tmp_path)
