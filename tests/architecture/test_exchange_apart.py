"""The simulated exchange shares no code or table with what it tests.

An encoder that took a divisor or a layout from the decoders would agree with their mistakes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, below, cimports, imports, module_name

HEADERS = sorted((ROOT / "ext").glob("sim_*.h"))
MODULE = ROOT / "ext" / "simulate.pyx"
PYTHON = [p for p in below("pipeline", suffix=".py") if p.is_relative_to(ROOT / "pipeline" / "sim")]
DECODING = ("pipeline.brokers", "pipeline.feed", "ext.decode", "ext.lanes", "ext.websocket")
_INCLUDED = re.compile(r'#include "([^"]+)"|cdef extern from "([^<"]+)"')


def is_decoding(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in DECODING)


@pytest.mark.parametrize("path", PYTHON, ids=module_name)
def test_no_module_imports_what_decodes(path: Path) -> None:
    assert [found.target for found in imports(path) if is_decoding(found.target)] == []


@pytest.mark.parametrize("path", [*HEADERS, MODULE], ids=lambda path: path.name)
def test_no_header_includes_what_decodes(path: Path) -> None:
    names = [quoted or extern for quoted, extern in _INCLUDED.findall(path.read_text())]
    assert all(name.startswith("sim_") for name in names), names


def test_the_compiled_part_cimports_nothing_that_decodes() -> None:
    assert HEADERS and PYTHON
    assert [found.target for found in cimports(MODULE) if is_decoding(found.target)] == []
