"""What setup.py hands to the compiler, and what it says to a wrong environment."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT


def _common_arguments() -> list[str]:
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMON_ARGUMENTS":
            found: list[str] = ast.literal_eval(node.value)
            return found
    raise AssertionError("setup.py has no COMMON_ARGUMENTS")


@pytest.mark.parametrize("cflags", ["-ffast-math", "-Ofast", "-ffast-math -ffp-contract=fast"])
def test_no_cflags_of_the_environment_make_prices_inexact(cflags: str) -> None:
    compiler = next(filter(None, map(shutil.which, ("gcc", "cc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler: install gcc")
    arguments = [*cflags.split(), *_common_arguments(), "-O3"]  # the environment's come first
    defined = subprocess.run(
        [compiler, *arguments, "-dM", "-E", "-x", "c", os.devnull],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert "__FAST_MATH__" not in defined
    assert "__FINITE_MATH_ONLY__ 1" not in defined


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PIPELINE_JOBS", "many", "PIPELINE_JOBS=many: expected a number of compilations"),
        ("PIPELINE_JOBS", "0", "PIPELINE_JOBS=0: expected a number of compilations"),
        ("PIPELINE_BUILD", "quick", "PIPELINE_BUILD=quick: expected one of fast, checked"),
    ],
)
def test_a_wrong_environment_is_one_sentence(name: str, value: str, told: str) -> None:
    ended = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=ROOT, env={**os.environ, name: value},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.startswith(told) and ended.stderr.count("\n") == 1
