"""From a parsed TOML table to frozen sections, collecting every problem on the way. Floor 1.

Knows no key: `fields` declares them. A value that is refused leaves its key's default in place,
so that reading goes on and the next problem is found too.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, Final

from pipeline.core.config.fields import (
    MISSING,
    Key,
    Refused,
    declarations,
    shorten,
)
from pipeline.core.errors import Problem

#: {(section, a spelling people bring along): what it is called here}
RENAMED: Final[Mapping[tuple[str, str], str]] = {
    ("account", "token"): "access_token",
    ("account", "key"): "api_key",
    ("account", "root"): "url",
    ("connection", "capacity"): "instruments_max",
    ("connection", "max_instruments"): "instruments_max",
    ("subscription", "tokens"): "instruments",
    ("subscription", "instrument_tokens"): "instruments",
    ("feed", "connect_timeout"): "connect_timeout_s",
    ("feed", "ping_interval_s"): "ping_after_s",
    ("feed", "reconnect_max_delay"): "backoff_max_s",
    ("instance", "shm_dir"): "shm_directory",
    ("rings", "ring_bytes"): "frame_bytes",
    ("strategy", "policy"): "slow",
    ("strategy", "parameters"): "params",
    ("strategy", "class"): "entry",
    ("", "sim"): "simulator",
    ("", "strategies"): "strategy",
    ("", "accounts"): "account",
    ("", "connections"): "connection",
    ("", "subscriptions"): "subscription",
}


def read_section(section: type[Any], found: object, path: str, problems: list[Problem]) -> Any:
    """Return an instance of `section`; append to `problems` whatever is wrong below `path`.

    A required key that is absent or refused is None in what is returned.
    """
    declared = declarations(section)
    given: Mapping[str, object] = found if isinstance(found, dict) else {}
    if not isinstance(found, dict):
        problems.append(Problem(path, shorten(found), f"a table with {_names(declared)}"))
    problems += [_unknown(name, path, declared) for name in given if name not in declared]
    values = {}
    for name, (field, what) in declared.items():
        here = f"{path}.{name}" if path else name
        if name in given:
            read = _read_key if isinstance(what, Key) else _read_table
            values[field.name] = read(what, given[name], here, field, problems)
        elif isinstance(what, Key) and field.default is MISSING:
            values[field.name] = None
            if isinstance(found, dict):
                problems.append(Problem(here, "nothing", what.kind.allowed, what.doc))
    return section(**values)


def _read_key(
    what: Any, value: object, path: str, field: dataclasses.Field[Any], problems: list[Problem]
) -> Any:
    try:
        return what.kind.read(value)
    except Refused as refused:
        found = refused.found or shorten(value)
        problems.append(Problem(path, found, what.kind.allowed, refused.hint))
    return None if field.default is MISSING else field.default


def _read_table(
    what: Any, value: object, path: str, field: dataclasses.Field[Any], problems: list[Problem]
) -> Any:
    if what.repeated:
        if not isinstance(value, list):
            hint = f"write [[{path}]] with two brackets"
            problems.append(Problem(path, "one table", "a list of tables", hint))
            return ()
        return tuple(
            read_section(what.section, item, f"{path}[{number}]", problems)
            for number, item in enumerate(value)
        )
    if what.word and not isinstance(value, dict):
        if value != what.word:
            allowed = f'"{what.word}", or a table with {_names(declarations(what.section))}'
            problems.append(Problem(path, shorten(value), allowed))
        return None
    return read_section(what.section, value, path, problems)


def _names(declared: Mapping[str, object]) -> str:
    return ", ".join(declared)


def _unknown(name: str, path: str, declared: Mapping[str, object]) -> Problem:
    section = path.partition("[")[0]
    here = f"{path}.{name}" if path else name
    renamed = RENAMED.get((section, name))
    if renamed is not None:
        return Problem(here, "an unknown key", renamed, f"it is called {renamed} here")
    near = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else ""
    return Problem(here, "an unknown key", f"one of {_names(declared)}", hint)
