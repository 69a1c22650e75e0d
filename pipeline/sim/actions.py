"""The table of what can be done to the exchange while it runs, and its checks. Floor 4; no I/O.

Scripts (`faults.py`) and the control channel (`control.py`) both speak of actions as mappings:
`{"action": "reset", "connection": 1}`. `parse_action` checks every key of one; `perform.py` does
it. Without a selector (connection, session, key) an action means every open client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pipeline.core.errors import Problem
from pipeline.sim.malformed import BAD_TEXTS
from pipeline.sim.options import CROSSINGS, LIMIT_POLICIES

SELECTORS: Final = ("connection", "session", "key")


class Parameter(NamedTuple):
    """One key of an action; `default` None and not `optional` means that it must be given."""

    types: tuple[type, ...]
    default: Any = None
    optional: bool = False
    choices: tuple[object, ...] = ()
    minimum: float | None = None

    def describe(self) -> str:
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        names = " or ".join(t.__name__ for t in self.types)
        return names if self.minimum is None else f"{names}, at least {self.minimum:g}"

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, self.types):
            return False
        if self.choices and value not in self.choices:
            return False
        return self.minimum is None or not isinstance(value, int | float) or value >= self.minimum


def _seconds(default: float | None = None) -> Parameter:
    return Parameter((int, float), default, minimum=0)


def _count(default: int | None, minimum: int = 1) -> Parameter:
    return Parameter((int,), default, minimum=minimum)


_OPTIONAL_COUNT: Final = Parameter((int,), optional=True, minimum=1)
_OPTIONAL_SECONDS: Final = Parameter((int, float), optional=True, minimum=0)
_PATH: Final = Parameter((str,), "")
_LIMIT: Final = Parameter((int,), optional=True, minimum=0)
_REST: Final = {"path": _PATH, "count": _OPTIONAL_COUNT, "seconds": _OPTIONAL_SECONDS}
_REPEAT: Final = {"count": _count(1), "packets": _count(3, 0)}
_KEY: Final = Parameter((str,))

ACTIONS: Final[Mapping[str, Mapping[str, Parameter]]] = {
    "reset": {},
    "fin": {},
    "close": {"code": _count(1001, 1000), "reason": Parameter((str,), "")},
    "half_open": {},
    "mute": {"seconds": _seconds()},
    "quiet": {"seconds": _seconds()},
    "delay": {"ms": _seconds()},
    "dribble": {"seconds": _seconds(5), "gap_ms": _seconds(1)},
    "split": {"seconds": _seconds(5)},
    "merge": {"frames": _count(8), "seconds": _seconds(5)},
    "calm": {},
    "lying_count": {**_REPEAT, "by": Parameter((int,), 3)},
    "lying_length": {**_REPEAT, "by": Parameter((int,), 1000)},
    "unknown_size": {**_REPEAT, "size": Parameter((int,), optional=True, minimum=0)},
    "trailing": {**_REPEAT, "bytes": _count(7)},
    "fragmented": {**_REPEAT, "pieces": _count(3)},
    "bad_text": {"kind": Parameter((str,), "json", choices=tuple(BAD_TEXTS))},
    "text": {"text": Parameter((str,))},
    "ping_flood": {"count": _count(2000)},
    "giant": {"bytes": _count(2**63 - 1)},
    "masked": {},
    "reserved_bits": {},
    "reserved_opcode": {},
    "empty": {},
    "over_limit": {},
    "shift": {
        "instrument": Parameter((int,), minimum=1),
        "rupees": Parameter((int, float), minimum=-1e6),
    },
    "order": {"data": Parameter((dict,), optional=True)},
    "refuse": {
        "status": Parameter((int,), choices=(401, 403, 404, 429, 500, 502, 503)),
        "count": _OPTIONAL_COUNT,
        "seconds": _OPTIONAL_SECONDS,
        "retry_after_s": Parameter((int,), optional=True, minimum=0),
    },
    "admit": {},
    "slow_handshake": {"count": _count(1), "gap_ms": _seconds(50)},
    "connection_limit": {
        "policy": Parameter((str,), choices=LIMIT_POLICIES),
        "limit": _OPTIONAL_COUNT,
    },
    "instrument_limit": {
        "limit": _OPTIONAL_COUNT,
        "crossing": Parameter((str,), "part", choices=CROSSINGS),
    },
    "revoke_token": {"key": _KEY},
    "restore_token": {"key": _KEY},
    "rotate_token": {"key": _KEY, "token": Parameter((str,))},
    "rest_refuse": {
        "status": Parameter((int,), choices=(400, 401, 403, 404, 429, 500, 502, 503, 504)),
        "retry_after_s": Parameter((int,), optional=True, minimum=0),
        **_REST,
    },
    "rest_delay": {"ms": _seconds(), **_REST},
    "rest_drop": _REST,
    "rest_garble": _REST,
    "rest_limits": {"quote": _LIMIT, "default": _LIMIT},
    "rest_calm": {},
    "stat": {},
}


@dataclass(frozen=True)
class Action:
    """A checked action; `parameters` are complete, with defaults. A token is never shown."""

    name: str
    selector: Mapping[str, int | str]
    parameters: Mapping[str, Any] = field(repr=False)


def parse_action(
    raw: Mapping[str, object], path: str, *, ignore: tuple[str, ...] = ()
) -> tuple[Action | None, list[Problem]]:
    """Check one action; return it, or None and every problem with it."""
    name = raw.get("action")
    if not isinstance(name, str) or name not in ACTIONS:
        allowed = "one of " + ", ".join(ACTIONS)
        return None, [Problem(f"{path}.action", repr(name), allowed)]
    known, problems = ACTIONS[name], []
    selector: dict[str, int | str] = {}
    for key, value in raw.items():
        if key == "action" or key in ignore or key in known:
            continue
        if key not in SELECTORS:
            allowed = ", ".join([*known, *SELECTORS])
            problems.append(Problem(f"{path}.{key}", "an unknown key", f"for {name}: {allowed}"))
        elif isinstance(value, bool) or not isinstance(value, str if key == "key" else int):
            expected = "a key's name" if key == "key" else "a number"
            problems.append(Problem(f"{path}.{key}", repr(value), expected))
        else:
            selector[key] = value
    parameters: dict[str, Any] = {}
    for key, parameter in known.items():
        value = raw.get(key, parameter.default)
        if value is None and parameter.optional:
            parameters[key] = None
        elif not parameter.accepts(value):
            found = "nothing" if value is None else "a value" if key == "token" else repr(value)
            problems.append(Problem(f"{path}.{key}", found, parameter.describe()))
        else:
            parameters[key] = value
    return (None if problems else Action(name, selector, parameters)), problems
