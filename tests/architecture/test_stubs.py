"""The stubs of the compiled modules say what these really take: by stubtest, and by their source.

stubtest compares every function, method and default. Constructors it cannot see, because Cython
keeps no signature of a `__cinit__`; those are read from the source.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, below, module_name

STUBS = below("ext", suffix=".pyi")
ALLOWED = Path(__file__).with_name("stubtest_allowlist.txt")

_CLASS = re.compile(r"^cdef class (\w+)", re.MULTILINE)
_CONSTRUCTOR = re.compile(r"^    def __c?init__\(\s*self(.*?)\):\s*$", re.MULTILINE | re.DOTALL)


def test_stubs_agree_with_the_modules(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "mypy.stubtest", "--concise", "--ignore-disjoint-bases",
            "--ignore-unused-allowlist", "--allowlist", str(ALLOWED)]  # fmt: skip
    done = subprocess.run(
        [*line, *map(module_name, STUBS)], cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=110, env={**os.environ, "MYPY_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def _compiled(source: str) -> dict[str, list[str]]:
    """Return the constructor's parameters of every class of a Cython file, a star among them."""
    found = {}
    starts = [*_CLASS.finditer(source)]
    ends = [*(match.start() for match in starts), len(source)][1:]
    for match, end in zip(starts, ends, strict=True):
        constructor = _CONSTRUCTOR.search(source, match.end(), end)
        found[match[1]] = _parameters(constructor[1]) if constructor else []
    return found


def _parameters(text: str) -> list[str]:
    """Return names, and a * for what is behind it: `, int64_t a=1, *, Bell b not None`."""
    names = []
    for part in re.sub(r"\[[^\]]*\]|\([^)]*\)", "", text).split(","):
        words = part.split("=")[0].replace(" not None", "").split()
        if words:
            names.append(words[-1].lstrip("&") if words != ["*"] else "*")
    return names


def _stubbed(tree: ast.Module) -> dict[str, list[str]]:
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            constructor = next(
                (f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"),
                None,
            )
            arguments = (
                constructor.args if constructor else ast.arguments([], [], None, [], [], None, [])
            )
            names = [a.arg for a in [*arguments.posonlyargs, *arguments.args]][1:]
            only = [a.arg for a in arguments.kwonlyargs]
            found[node.name] = [*names, "*", *only] if only else names
    return found


@pytest.mark.parametrize("stub", STUBS, ids=lambda path: path.stem)
def test_constructors_take_what_their_stubs_say(stub: Path) -> None:
    compiled = _compiled(stub.with_suffix(".pyx").read_text())
    stubbed = _stubbed(ast.parse(stub.read_text()))
    for name, parameters in compiled.items():
        if name in stubbed:
            assert stubbed[name] == parameters, name
