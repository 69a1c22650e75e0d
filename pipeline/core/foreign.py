"""Whose `ext` is it, and of when? What to tell programs that cannot use what they find. Floor 1.

Imports the standard library alone: it is asked when the compiled modules cannot be imported.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]


def explain(error: ImportError) -> str | None:
    """Return what to do when a foreign or old `ext` made an import fail; None when it did not."""
    if (error.name or "").partition(".")[0] != "ext":
        return None
    ours, found = _ROOT / "ext", _found()
    if found == ours:  # a module, or a name in it, that this build does not have yet
        return rebuild(f"the compiled modules in {ours} lack what is asked of them ({error.msg})")
    if found is None:
        return (
            f"the package `ext` with the compiled modules is missing from {_ROOT}: install "
            "tickrail again with pip install --force-reinstall --no-deps tickrail"
        )
    return (
        f"the package `ext` that this Python finds is not tickrail's: {found}; it hides {ours}, "
        "where the compiled modules are: rename it, or move it out of this program's folder "
        "and of PYTHONPATH"
    )


def rebuild(found: str) -> str:
    """Return a sentence: what was found of the compiled modules, and how to make them anew."""
    if not (_ROOT / "setup.py").exists():
        return f"{found}: pip install --force-reinstall --no-deps tickrail"
    return (
        f"{found}: build them with `./demo` or `./check`, or in {_ROOT} with "
        f"`{sys.executable} setup.py build_ext --force --inplace`"
    )


def _found() -> Path | None:
    module = sys.modules.get("ext")
    spec = module.__spec__ if module is not None else importlib.util.find_spec("ext")
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin or "ext")
