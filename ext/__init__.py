"""Floor 0: the compiled modules. They import nothing of `pipeline`.

A checkout that was never built has the sources but not the extension modules; importing one of
them then ends in the paragraph below instead of a bare ModuleNotFoundError.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path


def _is_built() -> bool:
    return importlib.util.find_spec("ext.layout") is not None


if not _is_built():
    raise ImportError(
        "the compiled modules of this checkout are missing: "
        f"no layout extension in {Path(__file__).parent}. "
        "Build them with `./demo` or `./check`, which make their own environment, "
        "or with `python setup.py build_ext --inplace` in an environment that has cython, "
        "numpy and setuptools."
    )
