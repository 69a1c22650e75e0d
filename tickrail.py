"""The distribution's own name: `import tickrail` is `import pipeline`, once that is known as ours.

Above all floors, and with imports of the standard library alone. An unrelated package on PyPI, or
a file of the user's beside the program, may be called `pipeline`, too; whoever gets that one is
told so here in a paragraph, instead of by names that are not there.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


def main() -> None:
    """Run the command line; the program `tickrail`."""
    try:
        own_package()
        from pipeline.cli.main import main as run
    except ImportError as error:
        sys.exit(str(error))
    run()


def own_package() -> Any:
    """Return the module `pipeline`; raise ImportError with a paragraph when it is not ours."""
    ours = _HERE / "pipeline" / "__init__.py"
    try:
        module = importlib.import_module("pipeline")
    except ModuleNotFoundError as error:
        if error.name != "pipeline":
            raise
        raise ImportError(
            f"tickrail's package `pipeline` is missing from {_HERE}: install it again with "
            "pip install --force-reinstall --no-deps tickrail"
        ) from None
    found = Path(getattr(module, "__file__", None) or "a folder without __init__.py")
    if "decode_frame" in getattr(module, "__all__", ()):
        return module
    if found == ours:
        mend = "another distribution has overwritten it: pip uninstall pipeline, and then"
    else:
        mend = f"that one hides {ours.parent}: rename or move it, or, if it was installed,"
        mend += " pip uninstall pipeline, and then"
    raise ImportError(
        f"the package `pipeline` that this Python finds is not tickrail's: {found}; {mend} "
        "pip install --force-reinstall --no-deps tickrail"
    )


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(own_package(), name)
