"""The compiled layout, once it is known to be of the sources beside it. Floor 1.

Everything above floor 0 comes by here before it uses a code or a size: after a `git pull` without a
build, old modules would fail somewhere inside, at the first name that they lack.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ext import layout
from ext.sources import digest
from pipeline.core.errors import NotBuilt
from pipeline.core.foreign import rebuild

__all__ = ["layout", "require_current"]


def require_current(module: ModuleType) -> None:
    """Raise NotBuilt when this build of `ext.layout` is not of the sources in its folder.

    Without sources there, as in an installed wheel, nothing is compared.
    """
    folder = Path(module.__file__ or "").parent
    sources = digest(folder)
    if sources is not None and getattr(module, "sources", None) != sources:
        raise NotBuilt(
            rebuild(f"the compiled modules in {folder} are older than the sources there")
        )


require_current(layout)
