"""The ring rule as steps of the weak machine: a stream of records, and the frame ring.

A writer's line of steps is known beforehand, deaths and successors included, because nobody else
stores; a reader goes on round by round (peek, copy, check, resume), each round on the machine.
Between two rounds the reader's loads keep their order; the header has no more either, but a load
of `oldest` that came later would only refuse more. Each round loads the tail. The header's reader
remembers one instead: a load of it right before the record finds no less, and orders no more than
the earlier one has, so whatever such a reader finds, one that loads it again can find.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

from tests.model.weak_memory import (
    DEATH,
    Memory,
    Step,
    Thread,
    Value,
    Writer,
    cuts,
    executions,
    fence,
    load,
    replay,
    store,
)


class Rules(NamedTuple):
    """The rules of the ring; a test leaves out one."""

    writer_fence: bool = True
    tail_store: str = "release"
    tail_load: str = "acquire"
    reader_fence: bool = True
    look_at_oldest: bool = True
    oldest_first: bool = True
    oldest_enough: bool = True
    oldest_inherited: bool = True
    bytes_given_up: bool = True
    place_inherited: bool = True


class Ring(NamedTuple):
    """A ring to be modelled: what a life of its writer does, and what a look at a record is.

    `life` gives the steps of a writer that finds this memory. `looks` gives the possible lines of
    a reader at a cursor, one for each guess, behind its first load (of the tail). Every word that
    they find must name the record and the life that published it.
    """

    initial: Memory
    records: int
    life: Callable[[Rules, Memory, str], list[Step]]
    looks: Callable[[Rules, tuple[Step, ...], int], Iterator[list[Step]]]


def number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def histories(
    ring: Ring, rules: Rules, deaths: int, before: tuple[Step, ...] = (), name: str = "a"
) -> Iterator[tuple[Step, ...]]:
    """Yield every line of steps with up to `deaths` deaths, the last life to its end."""
    steps = ring.life(rules, replay(ring.initial, before), name)
    yield (*before, *steps)
    if deaths:
        for part in cuts(steps):
            yield from histories(ring, rules, deaths - 1, (*before, *part, DEATH), name + "'")


def publishers(ring: Ring, steps: tuple[Step, ...]) -> dict[int, str]:
    """Return which life published each record."""
    lives: dict[int, str] = {}
    name = "a"
    tail = number(ring.initial["tail"])
    for step in steps:
        if step == DEATH:
            name += "'"
        if step.location == "tail":
            lives |= dict.fromkeys(range(tail, number(step.value)), name)
            tail = number(step.value)
    return lives


def oldest_goes_back(steps: tuple[Step, ...]) -> bool:
    values = [number(step.value) for step in steps if step.location == "oldest"]
    return values != sorted(values)


def fault(ring: Ring, rules: Rules, deaths: int) -> str | None:
    """Return an execution in which a reader is misled, or None: there is none.

    Misled: it takes what is not the record under its cursor as it was published; it is sent
    backwards, or beyond what is ever written; or `oldest` goes back.
    """
    for steps in histories(ring, rules, deaths):
        if oldest_goes_back(steps):
            return f"oldest goes back in {steps}"
        if complaint := _misled(ring, rules, steps):
            return f"{complaint} in {steps}"
    return None


def _misled(ring: Ring, rules: Rules, steps: tuple[Step, ...]) -> str | None:
    writer = Writer(ring.initial, steps)
    lives = publishers(ring, steps)
    first = number(ring.initial["tail"])
    moments: dict[int, set[int]] = {cursor: set() for cursor in range(first, ring.records + 1)}
    moments[first].add(0)
    for cursor in range(first, ring.records):
        ends = list(_attempts(ring, rules, writer, steps, cursor, moments[cursor]))
        for after, accepted, words in ends:
            if accepted and set(words) - {(cursor, lives.get(cursor))}:
                return f"record {cursor} was read as {words}"
            if accepted:
                moments[cursor + 1].add(after)
        refused = {after for after, accepted, _ in ends if not accepted}
        for after, resume in _resumed(writer, refused, cursor):
            if not cursor < resume <= ring.records:
                return f"a reader at {cursor} goes on at {resume}"
            moments[resume].add(after)
    return None


def _attempts(
    ring: Ring,
    rules: Rules,
    writer: Writer,
    steps: tuple[Step, ...],
    cursor: int,
    moments: set[int],
) -> Iterator[tuple[int, bool, tuple[Value, ...]]]:
    """Yield how an attempt at the record under the cursor may end: when, whether the reader
    accepts it, and what it found; attempts that find no such record are left out."""
    published = range(cursor + 1, ring.records + 1)
    for look in ring.looks(rules, steps, cursor):
        reader = Thread([load("tail", rules.tail_load, guess=published), *look])
        for after, found in executions(writer, reader, moments):
            oldest: list[Value] = []
            words: list[Value] = []
            for step, value in zip(reader.steps[1:], found[1:], strict=True):
                named = value[:2] if isinstance(value, Descriptor) else value
                (oldest if step.location == "oldest" else words).append(named)
            accepted = not rules.look_at_oldest or all(cursor >= number(o) for o in oldest)
            yield after, accepted, tuple(words)


def _resumed(writer: Writer, moments: set[int], cursor: int) -> set[tuple[int, int]]:
    """Where ring_resume_sequence may send a reader, and how far the writer is then."""
    reader = Thread([load("tail", "acquire"), fence("acquire"), load("oldest")])
    ends = set()
    for after, found in executions(writer, reader, moments):
        tail, oldest = number(found[0]), number(found[1])
        resume = oldest + (max(tail, oldest) - oldest) // 4
        ends.add((after, resume if resume > cursor else cursor + 1))
    return ends


def _retire(rules: Rules, memory: dict[Hashable, Value], oldest: int) -> list[Step]:
    memory["oldest"] = oldest
    steps = [store("oldest", oldest)]
    return [*steps, fence("release")] if rules.writer_fence else steps


def stream(*, capacity: int, unit: int, units: tuple[int, ...], words: int, start: int) -> Ring:
    """A stream whose writer retires `unit` records ahead and publishes units of these sizes."""
    records = start + sum(units)

    def life(rules: Rules, memory: Memory, name: str) -> list[Step]:
        steps: list[Step] = []
        tail, own = number(memory["tail"]), dict(memory)
        if not rules.oldest_inherited:
            own["oldest"] = start
        while tail < records:
            size = min(units[tail % len(units)], records - tail)
            enough = tail + unit - capacity - (0 if rules.oldest_enough else 1)
            retire = _retire(rules, own, max(number(own["oldest"]), enough))
            fill = [
                store((s % capacity, word), (s, name))
                for s in range(tail, tail + size)
                for word in range(words)
            ]
            tail += size
            steps += retire + fill if rules.oldest_first else fill + retire
            steps.append(store("tail", tail, rules.tail_store))
        return steps

    def looks(rules: Rules, steps: tuple[Step, ...], cursor: int) -> Iterator[list[Step]]:
        look = [load((cursor % capacity, word)) for word in range(words)]
        if rules.reader_fence:
            look.append(fence("acquire"))
        yield [*look, load("oldest")]

    initial: Memory = {"oldest": start, "tail": start} | {
        (slot, word): "nothing" for slot in range(capacity) for word in range(words)
    }
    return Ring(initial, records, life, looks)


class Descriptor(NamedTuple):
    """A frame's entry in the index; `position` and `length` in words of the area."""

    sequence: int
    name: str
    position: int
    length: int


class _Frames(NamedTuple):
    """The frame ring's sizes, in entries and words, and what its writer and readers do."""

    capacity: int
    area: int
    lengths: tuple[int, ...]
    start: int
    batch: int
    ahead: int

    @property
    def records(self) -> int:
        """The sequence behind the last message."""
        return self.start + len(self.lengths)

    def life(self, rules: Rules, memory: Memory, name: str) -> list[Step]:
        """Return the steps of a writer that finds this memory."""
        steps: list[Step] = []
        first, own = number(memory["tail"]), dict(memory)
        published = first
        if not rules.oldest_inherited:
            own["oldest"] = self.start
        position = self._inherited_end(own, rules, first)
        for tail in range(first, self.records):
            entry = self._entry(tail, name, position)
            position = entry.position + entry.length
            oldest = self._survivor(own, rules, tail, position, published)
            retire = _retire(rules, own, oldest) if oldest != own["oldest"] else []
            fill = self._fill(entry)
            own["index", tail % self.capacity] = entry
            steps += retire + fill if rules.oldest_first else fill + retire
            if tail + 1 - published == self.batch or tail + 1 == self.records:
                published = tail + 1
                steps.append(store("tail", published, rules.tail_store))
        return steps

    def looks(self, rules: Rules, steps: tuple[Step, ...], cursor: int) -> Iterator[list[Step]]:
        """Yield a reader's line for each entry that it may find under the cursor."""
        where = ("index", cursor % self.capacity)
        checked = [fence("acquire")] * rules.reader_fence + [load("oldest")]
        entries = {step.value for step in steps if step.location == where}
        for entry in entries:
            assert isinstance(entry, Descriptor)
            words = range(entry.position, entry.position + entry.length)
            message = [load(("area", word % self.area)) for word in words]
            yield [load(where, guess=(entry,)), *checked, *message, *checked]

    def _inherited_end(self, own: dict[Hashable, Value], rules: Rules, first: int) -> int:
        """Return where the last message of the predecessor ends."""
        last = own["index", (first - 1) % self.capacity]
        if rules.place_inherited and isinstance(last, Descriptor) and number(own["oldest"]) < first:
            return last.position + last.length
        return 0

    def _entry(self, tail: int, name: str, position: int) -> Descriptor:
        """Return the next message's entry; it begins anew where it would wrap."""
        length = self.lengths[(tail - self.start + len(name) - 1) % len(self.lengths)]
        offset = position % self.area
        if offset + length > self.area:
            position += self.area - offset
        return Descriptor(tail, name, position, length)

    def _fill(self, entry: Descriptor) -> list[Step]:
        words = range(entry.position, entry.position + entry.length)
        message = [store(("area", w % self.area), (entry.sequence, entry.name)) for w in words]
        return [*message, store(("index", entry.sequence % self.capacity), entry)]

    def _survivor(
        self, own: dict[Hashable, Value], rules: Rules, tail: int, end: int, published: int
    ) -> int:
        needed = self._least(own, rules, tail, end)
        more = min(number(own["oldest"]) + self.ahead, published - 1)
        return max(needed, more) if needed > number(own["oldest"]) else needed

    def _least(self, own: dict[Hashable, Value], rules: Rules, tail: int, end: int) -> int:
        oldest = number(own["oldest"])
        if tail + 1 - oldest > self.capacity:
            oldest = tail + (1 if rules.oldest_enough else 0) - self.capacity
        while rules.bytes_given_up and end > self.area and oldest < tail:
            entry = own["index", oldest % self.capacity]
            if not isinstance(entry, Descriptor) or entry.position >= end - self.area:
                break
            oldest += 1
        return oldest


def frames(
    *,
    capacity: int,
    area: int,
    lengths: tuple[int, ...],
    start: int,
    batch: int = 1,
    ahead: int = 0,
) -> Ring:
    """The frame ring: descriptors, and messages of these lengths in a byte area.

    `batch` messages are published at once, the last ones however few; `ahead` more than must be
    are given up at a time. A successor writes other lengths than its predecessor would have.
    """
    shape = _Frames(capacity, area, lengths, start, batch, ahead)
    initial: Memory = {"oldest": start, "tail": start} | {
        **{("index", slot): "nothing" for slot in range(capacity)},
        **{("area", word): "nothing" for word in range(area)},
    }
    return Ring(initial, shape.records, shape.life, shape.looks)
