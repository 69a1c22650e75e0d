"""A small machine with weak memory: one writing thread, one reading thread, every execution.

Steps of a thread happen in any order that its orders and fences do not forbid (loads as well as
stores; steps on one location keep their order), each at once for everybody, as on ARMv8. Values
that steer a reader (an address, a branch) are guessed beforehand and the execution is dropped
where the guess proves wrong, so that a load may also run before the load that it depends on.

One writer follows another only when the first is dead and reaped, which orders everything.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

Value = Hashable
Memory = Mapping[Hashable, Value]


class Step(NamedTuple):
    """One store, load or fence; a load has the values that its thread has guessed it may find."""

    kind: str
    location: Hashable = None
    value: Value = None
    order: str = "relaxed"
    guess: Container[Value] | None = None


def store(location: Hashable, value: Value, order: str = "relaxed") -> Step:
    return Step("store", location, value, order)


def load(
    location: Hashable, order: str = "relaxed", *, guess: Container[Value] | None = None
) -> Step:
    return Step("load", location, None, order, guess)


def fence(order: str) -> Step:
    """A fence: "release", "acquire" or "full"."""
    return Step("fence", order=order)


DEATH = fence("full")


def _must_wait(earlier: Step, later: Step, between: Sequence[Step]) -> bool:
    if earlier.location == later.location or later.order == "release" or earlier.order == "acquire":
        return True
    for each in between:
        if each.kind != "fence":
            continue
        if each.order == "full":
            return True
        if each.order == "release" and later.kind == "store":
            return True
        if each.order == "acquire" and earlier.kind == "load":
            return True
    return False


class Thread:
    """A straight line of steps, with what each must wait for as a set of bits."""

    def __init__(self, steps: Sequence[Step]) -> None:
        places = [i for i, step in enumerate(steps) if step.kind != "fence"]
        self.steps = [steps[i] for i in places]
        self.waits_for = [
            sum(
                1 << k
                for k, i in enumerate(places[:n])
                if _must_wait(steps[i], steps[j], steps[i + 1 : j])
            )
            for n, j in enumerate(places)
        ]
        self.done = (1 << len(places)) - 1
        self._ready: dict[int, list[int]] = {}

    def ready(self, done: int) -> list[int]:
        """Return the steps that may happen next, after those in `done`."""
        if done not in self._ready:
            self._ready[done] = [
                i
                for i, waits_for in enumerate(self.waits_for)
                if not done >> i & 1 and waits_for & ~done == 0
            ]
        return self._ready[done]


class Writer(Thread):
    """A writing thread and the memory it leaves; stores to one location keep their order."""

    def __init__(self, initial: Memory, steps: Sequence[Step]) -> None:
        super().__init__(steps)
        self._initial = initial
        self._stores: dict[Hashable, list[tuple[int, Value]]] = {}
        for i, step in enumerate(self.steps):
            self._stores.setdefault(step.location, []).insert(0, (i, step.value))

    def read(self, location: Hashable, done: int) -> Value:
        """Return what a load finds once the steps in `done` have happened."""
        for i, value in self._stores.get(location, ()):
            if done >> i & 1:
                return value
        return self._initial[location]


def executions(
    writer: Writer, reader: Thread, starts: Iterable[int] = (0,)
) -> set[tuple[int, tuple[Value, ...]]]:
    """Run `reader` against `writer` in every way that is possible.

    The reader begins when one of `starts` is what the writer has done. Returns pairs: which of
    the writer's steps had happened when the reader ended, and what its loads found, in program
    order.
    """
    nothing: tuple[Value, ...] = (None,) * len(reader.steps)
    pending = [(done, 0, nothing) for done in starts]
    seen = set(pending)
    ends = set()
    while pending:
        written, read, found = pending.pop()
        if read == reader.done:
            ends.add((written, found))
            continue
        following = [(written | 1 << i, read, found) for i in writer.ready(written)]
        for i in reader.ready(read):
            value = writer.read(reader.steps[i].location, written)
            guess = reader.steps[i].guess
            if guess is None or value in guess:
                following.append((written, read | 1 << i, (*found[:i], value, *found[i + 1 :])))
        for state in following:
            if state not in seen:
                seen.add(state)
                pending.append(state)
    return ends


def replay(initial: Memory, steps: Sequence[Step]) -> dict[Hashable, Value]:
    """Return the memory after all `steps`, as a successor finds it."""
    memory = dict(initial)
    for step in steps:
        if step.kind == "store":
            memory[step.location] = step.value
    return memory


def cuts(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """Yield what a writer has done that is killed before its first or after any later store."""
    yield steps[:0]
    for i, step in enumerate(steps):
        if step.kind == "store":
            yield steps[: i + 1]
