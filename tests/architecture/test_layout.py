"""The layout's derived files are current, and a change of the layout is a visible diff."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import numpy as np
import pytest

from ext import layout as compiled
from pipeline.core import layout
from tests.architecture.tree import ROOT


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    path = ROOT / "ext" / "generate_layout.py"
    spec = importlib.util.spec_from_file_location("generate_layout", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_derived_files_are_current(generator: ModuleType) -> None:
    """Write them anew with: python ext/generate_layout.py"""
    parsed = generator.parse((ROOT / "ext" / "layout.h").read_text())
    for name, text in generator.texts(parsed).items():
        assert (ROOT / "ext" / name).read_text() == text, name


def test_layout_equals_the_golden_file() -> None:
    """A change here is a new layout: raise LAYOUT_VERSION, add a line to the CHANGELOG, and
    write it anew with:
    python -c "import ext.layout as l; print(l.describe(), end='')" > tests/golden/layout.txt
    """
    assert compiled.describe() == (ROOT / "tests" / "golden" / "layout.txt").read_text()


def test_every_struct_of_the_header_has_a_dtype(generator: ModuleType) -> None:
    parsed = generator.parse((ROOT / "ext" / "layout.h").read_text())
    assert list(parsed.structs) == list(layout.dtypes)


def test_dtypes_have_the_compilers_sizes_and_no_overlap() -> None:
    for name, dtype in layout.dtypes.items():
        ends = 0
        for field in dtype.names:
            kind, offset = dtype.fields[field][:2]
            assert offset >= ends, f"{name}.{field}"
            ends = offset + kind.itemsize
        assert ends <= dtype.itemsize


def test_tick_record_is_as_published() -> None:
    assert layout.tick_dtype.itemsize == 320
    assert layout.tick_dtype["bid_price"].shape == (5,)
    assert layout.tick_dtype["last_price"] == np.float64
    assert layout.tick_dtype["instrument_token"] == np.uint32


def test_fingerprint_follows_the_description() -> None:
    assert 0 < layout.fingerprint < 2**64
    assert layout.describe().startswith(f"layout version {layout.layout_version}\n")


def test_the_changelog_names_the_fingerprint_of_this_layout() -> None:
    assert f"`{layout.fingerprint:016x}`" in (ROOT / "CHANGELOG.md").read_text()


def test_unreadable_members_are_refused(generator: ModuleType) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        generator.parse("typedef struct { int *pointer; } BadC;")
