"""Scripts of faults: what happens when, from a file or from a seed. Floor 4; no I/O but the file.

A script is TOML (`[[faults]]` tables) or JSON (a list, or `{"faults": [...], "chaos": {...}}`).
Each entry is an action (`actions.py`) and one moment:

    at_s = 5.0                       once, that long after the simulator's start
    after_frames = 100               per client, once so many data frames were sent to it
    on_connect = true                per client, when it has opened
    every_ms = 50, until_s = 30.0    again and again (until_s may be left out)

`chaos = {seed = 1, every_ms = 200, until_s = 50.0, actions = [{action = "reset"}, ...]}` picks one
of the actions and one open client each time, from the seed.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.core.errors import ConfigError, Problem
from pipeline.sim.actions import Action, parse_action
from pipeline.sim.conditions import FOREVER
from pipeline.sim.exchange import Exchange
from pipeline.sim.perform import perform, select

_MOMENTS: Final = ("at_s", "after_frames", "on_connect", "every_ms")
_TIMING_KEYS: Final = (*_MOMENTS, "until_s")
_CATCH_UP_MAX: Final = 50


@dataclass
class Rule:
    """One entry of a script and how far it has come."""

    action: Action
    at_s: float | None = None
    after_frames: int | None = None
    on_connect: bool = False
    every_s: float | None = None
    until_s: float = FOREVER
    done: bool = False
    done_sessions: set[int] = field(default_factory=set)


@dataclass
class Chaos:
    """A stream of random actions on random clients."""

    source: random.Random
    every_s: float
    until_s: float
    actions: list[Action]


class Script:
    """Rules and chaos, played against an exchange; all its times count from `start_s`."""

    def __init__(self, rules: list[Rule], chaos: Chaos | None, *, start_s: float) -> None:
        self._rules = rules
        self._chaos = chaos
        self._start_s = start_s
        self._next_chaos_s = start_s + (chaos.every_s if chaos else FOREVER)

    def step(self, exchange: Exchange, now_s: float) -> None:
        """Do what is due."""
        for rule in self._rules:
            if rule.after_frames is not None or rule.on_connect:
                self._step_per_client(exchange, rule, now_s)
            elif not rule.done:
                self._step_timed(exchange, rule, now_s)
        for _ in range(_CATCH_UP_MAX):
            if self._chaos is None or now_s < self._next_chaos_s:
                break
            self._step_chaos(exchange, self._chaos, now_s)

    def _step_per_client(self, exchange: Exchange, rule: Rule, now_s: float) -> None:
        for client in select(exchange, rule.action.selector):
            sent = client.output.frames_handed
            if client.number not in rule.done_sessions and sent >= (rule.after_frames or 0):
                rule.done_sessions.add(client.number)
                perform(exchange, rule.action, now_s=now_s, client=client)

    def _step_timed(self, exchange: Exchange, rule: Rule, now_s: float) -> None:
        assert rule.at_s is not None
        for _ in range(_CATCH_UP_MAX):
            if rule.done or now_s < self._start_s + rule.at_s:
                return
            perform(exchange, rule.action, now_s=now_s)
            if rule.every_s is None:
                rule.done = True
            else:
                rule.at_s += rule.every_s
                rule.done = rule.at_s >= rule.until_s

    def _step_chaos(self, exchange: Exchange, chaos: Chaos, now_s: float) -> None:
        self._next_chaos_s += chaos.every_s
        if self._next_chaos_s >= self._start_s + chaos.until_s:
            self._next_chaos_s = FOREVER
        action = chaos.source.choice(chaos.actions)
        clients = select(exchange, action.selector)
        if clients:
            perform(exchange, action, now_s=now_s, client=chaos.source.choice(clients))

    def next_wake_s(self) -> float:
        """Return when the next timed action is due."""
        timed = [
            self._start_s + rule.at_s
            for rule in self._rules
            if rule.at_s is not None and not rule.done
        ]
        return min([self._next_chaos_s, *timed])


def load_script(path: Path, *, start_s: float) -> Script:
    """Read a script; raise ConfigError with every problem at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = Problem("file", error.strerror or "an unreadable one", "a file that can be read")
        raise ConfigError(str(path), [problem]) from error
    except UnicodeDecodeError as error:
        problem = Problem("file", f"the byte 0x{error.object[error.start]:02x}", "text in UTF-8")
        raise ConfigError(str(path), [problem]) from None
    try:
        raw = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise ConfigError(str(path), [Problem("file", str(error), "TOML or JSON")]) from error
    return parse_script(raw, source=str(path), start_s=start_s)


def parse_script(raw: object, *, source: str, start_s: float) -> Script:
    """Check a script; raise ConfigError with every problem at once."""
    if isinstance(raw, list):
        raw = {"faults": raw}
    problems: list[Problem] = []
    if not isinstance(raw, dict) or not set(raw) <= {"faults", "chaos"}:
        raise ConfigError(source, [Problem("script", _kind(raw), "the keys faults and chaos")])
    rules = []
    for index, entry in enumerate(raw.get("faults", [])):
        rule, found = _parse_rule(entry, f"faults[{index}]")
        problems += found
        if rule is not None:
            rules.append(rule)
    chaos = None
    if "chaos" in raw:
        chaos, found = _parse_chaos(raw["chaos"])
        problems += found
    if problems:
        raise ConfigError(source, problems)
    return Script(rules, chaos, start_s=start_s)


def _parse_rule(entry: object, path: str) -> tuple[Rule | None, list[Problem]]:
    if not isinstance(entry, dict):
        return None, [Problem(path, _kind(entry), "a table with an action and a moment")]
    action, problems = parse_action(entry, path, ignore=_TIMING_KEYS)
    moments = [key for key in _MOMENTS if key in entry]
    if len(moments) != 1:
        problems.append(Problem(path, f"{len(moments)} moments", f"one of {', '.join(_MOMENTS)}"))
    for key in _TIMING_KEYS:
        if key in entry and key != "on_connect" and not _positive(entry[key]):
            problems.append(Problem(f"{path}.{key}", repr(entry[key]), "a number, 0 or more"))
    if problems or action is None:
        return None, problems
    every_ms = entry.get("every_ms")
    return Rule(
        action,
        at_s=entry.get("at_s", None if every_ms is None else every_ms / 1000),
        after_frames=entry.get("after_frames"),
        on_connect=bool(entry.get("on_connect", False)),
        every_s=None if every_ms is None else max(every_ms, 1) / 1000,
        until_s=entry.get("until_s", FOREVER),
    ), []


def _parse_chaos(raw: object) -> tuple[Chaos | None, list[Problem]]:
    known: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
    problems = [
        Problem(f"chaos.{key}", repr(known.get(key)), "a number, 0 or more")
        for key in ("seed", "every_ms", "until_s")
        if not _positive(known.get(key))
    ]
    entries, actions = known.get("actions"), []
    if not isinstance(entries, list) or not entries:
        problems.append(Problem("chaos.actions", _kind(entries), "a list of actions"))
        entries = []
    for index, entry in enumerate(entries):
        mapping = entry if isinstance(entry, dict) else {"action": entry}
        action, found = parse_action(mapping, f"chaos.actions[{index}]")
        problems += found
        if action is not None:
            actions.append(action)
    if problems:
        return None, problems
    source = random.Random(known["seed"])
    return Chaos(source, max(known["every_ms"], 1) / 1000, known["until_s"], actions), []


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
