"""The C of floor 0 compiles for aarch64, too, without a warning; nothing of it is run here."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from tests.architecture.tree import ROOT, below

COMPILER = "aarch64-linux-gnu-gcc"
# As setup.py has them; -O1 is enough to see what does not compile.
FLAGS = (
    *(
        "-std=gnu11",
        "-ffp-contract=off",
        "-DEXT_SOURCES=0",
        "-fno-strict-aliasing",
        "-O1",
        "-Wall",
        "-Wextra",
    ),
    *("-Werror", "-Wno-unused-function", "-Wno-unused-parameter", "-Wno-cast-function-type"),
    *("-Wno-missing-field-initializers", "-Wno-sign-compare"),
)

pytestmark = pytest.mark.skipif(
    shutil.which(COMPILER) is None,
    reason=f"{COMPILER} is not installed (apt-get install gcc-aarch64-linux-gnu)",
)


def compile_file(source: Path, folder: Path) -> None:
    python = sysconfig.get_path("include")
    headers = ["-Iext", f"-I{python}", "-isystem", np.get_include()]
    line = [COMPILER, *FLAGS, "-fPIC", *headers, "-c", source, "-o", folder / "out.o"]
    done = subprocess.run(
        list(map(str, line)), cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[:4000]


def test_every_header_compiles_by_itself(tmp_path: Path) -> None:
    for header in below("ext", suffix=".h"):
        source = tmp_path / f"{header.stem}.c"
        source.write_text(f'#include "{header.name}"\n')
        compile_file(source, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("module", below("ext", suffix=".pyx"), ids=lambda path: path.stem)
def test_every_module_compiles(module: Path, tmp_path: Path) -> None:
    generated = ROOT / "build" / "cython-fast" / "ext" / f"{module.stem}.c"
    assert generated.exists(), "build the checkout first: ./check does"
    compile_file(generated, tmp_path)
