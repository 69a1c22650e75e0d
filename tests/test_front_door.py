"""`import pipeline` costs nothing until a name is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pipeline


def test_importing_loads_neither_numpy_nor_extensions() -> None:
    code = (
        "import sys, pipeline; print([m for m in ('numpy', 'ext', 'twisted') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize("name", pipeline.__all__)
def test_each_exported_name_is_there(name: str) -> None:
    assert getattr(pipeline, name) is not None
    assert name in dir(pipeline)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = pipeline.no_such_name
