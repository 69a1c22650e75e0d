"""The two-copy cell, exhaustively: a writer, one killed after any store, its successors, a reader.

Two words, four versions, up to two deaths. No reader accepts anything but what a version was
published with, and a dead writer blocks nobody. Each rule that is left out is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.model.weak_memory import (
    DEATH,
    Memory,
    Step,
    Thread,
    Writer,
    cuts,
    executions,
    fence,
    load,
    replay,
    store,
)

LAST_VERSION = 4
WORDS = 2


class Rules(NamedTuple):
    """The cell's rules; a test leaves out one."""

    writer_fence: bool = True
    publish_order: str = "release"
    version_order: str = "acquire"
    reader_fence: bool = True
    equal_version: bool = True
    other_copy: bool = True
    whole_copy: bool = True


INITIAL: Memory = {"version": 0} | {
    (copy, word): (0, "first") if copy == 0 else (-1, "first")
    for copy in range(2)
    for word in range(WORDS)
}


def life(rules: Rules, memory: Memory, name: str) -> list[Step]:
    """What one writer does, from the memory it finds to the last version."""
    steps = []
    found = memory["version"]
    assert isinstance(found, int)
    for version in range(found + 1, LAST_VERSION + 1):
        if rules.writer_fence:
            steps.append(fence("release"))
        copy = (version if rules.other_copy else version - 1) & 1
        for word in range(WORDS):
            if rules.whole_copy or memory[copy, word] != (version, name[:-1]):
                steps.append(store((copy, word), (version, name)))
        steps.append(store("version", version, rules.publish_order))
    return steps


def histories(
    rules: Rules, deaths: int, before: tuple[Step, ...] = (), name: str = "first"
) -> Iterator[tuple[Step, ...]]:
    """Yield every line of steps with up to `deaths` deaths, the last life to its end."""
    steps = life(rules, replay(INITIAL, before), name)
    yield (*before, *steps)
    if deaths:
        for part in cuts(steps):
            yield from histories(rules, deaths - 1, (*before, *part, DEATH), name + "'")


def published(steps: tuple[Step, ...]) -> dict[object, tuple[object, ...]]:
    """Return the words that each version was published with."""
    memory = dict(INITIAL)
    values: dict[object, tuple[object, ...]] = {0: tuple(memory[0, w] for w in range(WORDS))}
    for step in steps:
        if step.kind == "store":
            memory[step.location] = step.value
            if step.location == "version":
                assert isinstance(step.value, int)
                values[step.value] = tuple(memory[step.value & 1, w] for w in range(WORDS))
    return values


def attempt(rules: Rules, version: int) -> Thread:
    """One attempt of a reader that finds (guesses) `version` first."""
    steps = [load("version", rules.version_order, guess=(version,))]
    steps += [load((version & 1, w)) for w in range(WORDS)]
    if rules.reader_fence:
        steps.append(fence("acquire"))
    return Thread([*steps, load("version")])


def accepted(rules: Rules, version: int, after: object) -> bool:
    assert isinstance(after, int)
    return after == version or (not rules.equal_version and after == version + 1)


def wrong_value(rules: Rules, deaths: int) -> str | None:
    """Return an execution in which a reader accepts a wrong value, or None: there is none."""
    readers = [attempt(rules, version) for version in range(LAST_VERSION + 1)]
    for steps in histories(rules, deaths):
        right = published(steps)
        writer = Writer(INITIAL, steps)
        for version, reader in enumerate(readers):
            for _, (_, *words, after) in executions(writer, reader):
                whole = len(set(words)) == 1 and tuple(words) == right[version]
                if accepted(rules, version, after) and not whole:
                    return f"version {version} was read as {words} in {steps}"
    return None


def test_no_reader_accepts_a_wrong_value() -> None:
    assert wrong_value(Rules(), deaths=2) is None


def test_a_dead_writer_blocks_nobody() -> None:
    """Wherever a writer stays dead, the next attempt succeeds with the last published version."""
    for steps in histories(Rules(), deaths=0):
        for part in cuts(steps):
            writer = Writer(INITIAL, part)
            version = writer.read("version", writer.done)
            assert isinstance(version, int)
            ends = executions(writer, attempt(Rules(), version), [writer.done])
            assert {found for _, found in ends} == {
                (version, *published(tuple(part))[version], version)
            }


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(writer_fence=False), id="writer-without-fence"),
        pytest.param(Rules(publish_order="relaxed"), id="version-not-released"),
        pytest.param(Rules(version_order="relaxed"), id="version-not-acquired"),
        pytest.param(Rules(reader_fence=False), id="reader-without-fence"),
        pytest.param(Rules(equal_version=False), id="one-version-later-is-fine"),
        pytest.param(Rules(other_copy=False), id="rewrites-the-current-copy"),
        pytest.param(Rules(whole_copy=False), id="successor-writes-only-the-rest"),
    ],
)
def test_without_a_rule_there_is_a_counterexample(rules: Rules) -> None:
    assert wrong_value(rules, deaths=1) is not None
