"""Decoder, encoder and lanes, their tests once more under ASan and UBSan: the Cython shells too."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.builds import ROOT, build_root, environment

#: Imported first, so that the tests find this build's modules whatever path pytest adds.
RUN = """
import sys, ext.decode, pytest
assert ext.decode.__file__.startswith(sys.argv[1]), ext.decode.__file__
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""
DECODING = (
    "tests/ext/test_decode.py",
    "tests/brokers/test_kite_decode.py",
    "tests/brokers/test_kite_property.py",
    "tests/ext/test_encode.py",
    "tests/ext/test_encode_clients.py",
)

#: Lanes that share instruments. Their deaths are of processes of another build.
MOVING = (
    "tests/feed/test_moving.py",
    "tests/feed/test_moving_once.py",
    "-k",
    "not death and not committed",
)


def libraries() -> str:
    """Return what has to be loaded before the interpreter, which itself is not instrumented."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc: install it to run the decoder's tests under sanitizers")
    names = ("libasan.so", "libstdc++.so")
    return ":".join(
        subprocess.check_output([compiler, f"-print-file-name={name}"], text=True).strip()
        for name in names
    )


@pytest.mark.full
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("tests", [DECODING, MOVING], ids=["decoding", "moving"])
def test_no_report_under_sanitizers(tests: tuple[str, ...]) -> None:
    preload = libraries()
    root = build_root("sanitize")
    # PYTHONMALLOC: pools of small objects would hide what is read beside them. The interpreter
    # itself leaks at its end.
    settings = {
        "LD_PRELOAD": preload,
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(root), *tests], cwd=ROOT, text=True,
        env={**environment(root), **settings}, capture_output=True, check=False, timeout=600,
    )  # fmt: skip
    report = run.stdout[-3000:] + run.stderr[-3000:]
    assert run.returncode == 0, report
    assert " passed" in run.stdout
    assert "Sanitizer" not in report and "runtime error" not in report
