"""The frame reader under Autobahn|Testsuite, cases 1 to 7 and 10.

`AUTOBAHN_WSTEST` names a `wstest` executable; `install.sh` builds one where there is a Python 2.7.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.autobahn.fuzzing_server import run_suite, tally

CASES: Final = 247
INSTALLER: Final = Path(__file__).with_name("install.sh")


def _demand_clean_sheet(wstest: Path, directory: Path) -> None:
    verdicts = run_suite(wstest, directory)
    bad = {
        case: verdict
        for case, verdict in verdicts.items()
        if verdict["behavior"] not in ("OK", "NON-STRICT", "INFORMATIONAL")
        or verdict["behaviorClose"] not in ("OK", "INFORMATIONAL")
    }
    print("behavior", tally(verdicts, "behavior"), "close", tally(verdicts, "behaviorClose"))
    assert not bad
    assert len(verdicts) == CASES


@pytest.mark.timeout(300)
def test_suite_passes_without_a_failure(tmp_path: Path) -> None:
    """Every case is run; none fails, and none closes badly."""
    wstest = os.environ.get("AUTOBAHN_WSTEST")
    if not wstest:
        pytest.skip("AUTOBAHN_WSTEST names no wstest executable; see docs/autobahn.md")
    _demand_clean_sheet(Path(wstest).absolute(), tmp_path)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_suite_passes_with_an_installed_wstest(tmp_path: Path) -> None:
    """The same with the testsuite that the installer builds, or has built before."""
    if os.environ.get("AUTOBAHN_WSTEST"):
        pytest.skip("AUTOBAHN_WSTEST is set: the suite has run with that one")
    installed = subprocess.run([INSTALLER], capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        pytest.skip(f"the testsuite cannot be installed: {installed.stderr.strip()[-300:]}")
    _demand_clean_sheet(Path(installed.stdout.strip().splitlines()[-1]), tmp_path)
