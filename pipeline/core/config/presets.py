"""Presets: named sets of keys that lie under a user's file, which wins. Floor 1.

They are data, `presets.toml` beside this file. A preset describes a pool; what a single key means
is said where the key is declared, in `sections`.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final

from pipeline.core.errors import ConfigError, Problem

Table = Mapping[str, Any]

#: What a preset runs when there is no file: the simulated exchange, and what each has room for.
WITHOUT_FILE: Final = """
[simulator]

[[account]]
name = "exchange"
url = "simulator"
api_key = "demo"

[[subscription]]
simulated = { first = 0, count = 100 }
"""
_EVERY: Final = "subscription"
_ABOUT: Final = "about"


@functools.cache
def presets() -> Mapping[str, Table]:
    """Return every preset by its name, as it is written."""
    text = resources.files(__package__).joinpath("presets.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def summaries() -> dict[str, str]:
    """Return {name: what it is for} of every preset."""
    return {name: str(preset[_ABOUT]) for name, preset in presets().items()}


def preset(name: str) -> Table:
    """Return the keys of a preset; raise ConfigError that names those that exist."""
    found = presets().get(name.replace("-", "_"))
    if found is None:
        near = difflib.get_close_matches(name, presets(), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else ""
        problem = Problem("--preset", repr(name), f"one of {', '.join(presets())}", hint)
        raise ConfigError("presets", [problem])
    return {key: value for key, value in found.items() if key != _ABOUT}


def merge(under: Table, file: Table) -> dict[str, Any]:
    """Return a file's table with what it leaves open taken from a preset.

    A ring's bytes hold for the preset's number of instruments: where the file has another one,
    they are left to follow from it.
    """
    merged = dict(file)
    for section, keys in under.items():
        given = file.get(section, [] if section == _EVERY else {})
        if section == _EVERY and isinstance(given, list):
            merged[section] = [{**keys, **one} if isinstance(one, dict) else one for one in given]
        elif isinstance(given, dict):
            merged[section] = {**keys, **given}
    rings = merged.get("rings")
    resized = "instruments_per_connection" in _table(file, "pool")
    if resized and isinstance(rings, dict) and "frame_bytes" not in _table(file, "rings"):
        rings.pop("frame_bytes", None)
    return merged


def origins(name: str, file: Table, file_name: str) -> dict[str, str]:
    """Return {key path: where its value is from} of all that a preset and a file set."""
    given = set(_paths(file))
    preset_name = f"preset {name.replace('-', '_')}"
    merged = merge(preset(name), file)
    return {path: file_name if path in given else preset_name for path in _paths(merged)}


def _table(table: Table, section: str) -> Table:
    found = table.get(section)
    return found if isinstance(found, dict) else {}


def _paths(table: Table, path: str = "") -> Iterator[str]:
    """Yield the path of every key of a table, as problems and `config show` name it."""
    for key, value in table.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _paths(value, here)
        elif isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            for number, item in enumerate(value):
                yield from _paths(item, f"{here}[{number}]")
        else:
            yield here
