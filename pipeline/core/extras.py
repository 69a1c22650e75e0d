"""Packages that only some users need: import one, or say in a sentence how to get it. Floor 1.

Each is an extra of the distribution (`pip install 'tickrail[pandas]'`), imported in its own place
when it is first needed, never at the top of a module that everybody imports.
"""

from __future__ import annotations

import shlex
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import MissingExtra

#: Only a checkout has one there.
_PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"

#: The extra that brings a package; the names are those of pyproject.toml.
EXTRA_OF: Final = {
    "pandas": "pandas",
    "polars": "polars",
    "pyarrow": "arrow",
    "websockets": "sim",
    "kiteconnect": "rest",
    "fastapi": "api",
    "uvicorn": "api",
    "prometheus_client": "api",
    "zmq": "zeromq",
    "picows": "gateway",
}


def import_extra(package: str, *, needed_by: str) -> Any:
    """Return the imported package; raise MissingExtra, naming its extra, if it is not there.

    An installed package that fails to import for reasons of its own raises what it raises.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise _missing(package, needed_by) from None


def require_extra(package: str, *, needed_by: str) -> None:
    """Raise MissingExtra, naming its extra, if a package is not there; import nothing."""
    if find_spec(package) is None:
        raise _missing(package, needed_by)


def install_command(extra: str) -> str:
    """Return the command that brings the packages of an extra.

    In a checkout it names them one by one: there pip knows of no `tickrail` that it could extend.
    """
    wanted = [f"tickrail[{extra}]"]
    if _PROJECT.is_file():
        offered = tomllib.loads(_PROJECT.read_text())["project"]["optional-dependencies"]
        wanted = offered.get(extra, wanted)
    return f"pip install {shlex.join(wanted)}"


def _missing(package: str, needed_by: str) -> MissingExtra:
    extra = EXTRA_OF[package]
    return MissingExtra(package, extra=extra, needed_by=needed_by, command=install_command(extra))
