"""One version, in the code and in what is installed."""

from __future__ import annotations

import subprocess
import sys

from pipeline.core.version import VERSION
from tests.conftest import ROOT


def test_a_distribution_has_the_version_of_the_code() -> None:
    line = [sys.executable, "setup.py", "-q", "--version"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [VERSION]
