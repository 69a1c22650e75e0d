"""The longest nap that a config and `attach` allow is the longest that the compiled side takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.clock import NS_PER_US
from pipeline.core.naps import NAP_US, NAP_US_MAX
from tests.ext.stream_bench import Bench


def test_bounds_are_those_of_the_compiled_side(tmp_path: Path) -> None:
    assert 0 < NAP_US <= NAP_US_MAX
    Bench(tmp_path / "longest", nap_ns=NAP_US_MAX * NS_PER_US)
    with pytest.raises(ValueError, match="nap_ns"):
        Bench(tmp_path / "longer", nap_ns=NAP_US_MAX * NS_PER_US + 1)
