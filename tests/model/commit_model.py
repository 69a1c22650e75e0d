"""A decoder's commit protocol, and its feed, as lines of single accesses to shared memory.

Frames of up to three packets go through units of up to two; a unit is: oldest of the outputs,
slots, a second look at the frame ring, the flip of the commit block, latest table, tails (events,
then ticks), bell. A successor rolls forward. Cells and rings are proved elsewhere, so that here
a cell is one word and memory is strong.

A tick carries the value before it of its instrument, as flags do: a unit that is done again
must find the same one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Final, NamedTuple

UNIT: Final = 2
SOURCE_CAPACITY: Final = 2
STREAM_CAPACITY: Final = 2 * UNIT
STATE: Final = ()  # a frame without packets: the connection was interrupted

Frame = tuple[tuple[str, int], ...]
FRAMES: Final[tuple[Frame, ...]] = (
    (("A", 1), ("A", 2), ("B", 1)), STATE, (("A", 3),), STATE, (("B", 2), ("A", 4), ("B", 3)),
)  # fmt: skip
INSTRUMENTS: Final = ("A", "B")


class Rules(NamedTuple):
    """The rules of the protocol; a test leaves out one."""

    retire_first: bool = True
    recheck: bool = True
    flip_before_latest: bool = True
    flip_before_tails: bool = True
    events_before_ticks: bool = True
    bell_last: bool = True
    roll_forward: bool = True
    roll_forward_skips_newer: bool = True
    roll_forward_rings: bool = True
    bases_rebuilt: bool = True
    counters_in_block: bool = True


class Counters(NamedTuple):
    frames_in: int = 0
    frames_data: int = 0
    frames_state: int = 0
    frames_overrun: int = 0
    ticks_out: int = 0

    def plus(self, **more: int) -> Counters:
        return self._replace(**{name: getattr(self, name) + n for name, n in more.items()})


class Block(NamedTuple):
    source: int = 0
    packet: int = 0
    tick_tail: int = 0
    event_tail: int = 0
    gap_open: bool = False
    counters: Counters = Counters()


class Tick(NamedTuple):
    sequence: int
    source: int
    packet: int
    instrument: str
    value: int
    value_before: int


class Event(NamedTuple):
    kind: str
    tick_sequence: int
    first_source: int
    next_source: int


LOCATIONS: Final = (
    "source.oldest", "source.tail", *(("source", i) for i in range(SOURCE_CAPACITY)),
    "ticks.oldest", "ticks.tail", *(("ticks", i) for i in range(STREAM_CAPACITY)),
    "events.oldest", "events.tail", *(("events", i) for i in range(STREAM_CAPACITY)),
    "block", "counters", *(("latest", name) for name in INSTRUMENTS), "unrung",
)  # fmt: skip
PLACE: Final = {location: i for i, location in enumerate(LOCATIONS)}

Shared = tuple[Any, ...]
Bases = tuple[int, ...]
Access = tuple[Any, ...]  # ("read", location) or ("write", location, value)
Life = tuple[Any, ...]  # ("open",) or ("unit", block, bases)
Steps = Generator[Access, Any, Life]


def initial() -> Shared:
    words: dict[Any, Any] = dict.fromkeys(LOCATIONS, 0)
    words |= {"block": Block(), "counters": Counters(), "unrung": False}
    words |= {("source", i): None for i in range(SOURCE_CAPACITY)}
    words |= {(name, i): None for name in ("ticks", "events") for i in range(STREAM_CAPACITY)}
    words |= {("latest", name): None for name in INSTRUMENTS}
    return tuple(words[location] for location in LOCATIONS)


# ---- the feed: one frame is three stores ------------------------------------------------------


def feed_step(shared: Shared, step: int) -> tuple[Any, Any]:
    sequence, part = divmod(step, 3)
    if part == 0:
        oldest = max(shared[PLACE["source.oldest"]], sequence + 1 - SOURCE_CAPACITY)
        return "source.oldest", oldest
    if part == 1:
        return ("source", sequence % SOURCE_CAPACITY), FRAMES[sequence]
    return "source.tail", sequence + 1


# ---- the decoder --------------------------------------------------------------------------------


def read_bases(rules: Rules) -> Generator[Access, Any, Bases]:
    bases = []
    for name in INSTRUMENTS:
        tick = yield "read", ("latest", name)
        bases.append(tick.value if tick else 0)
    return tuple(bases)


def publish_tails(rules: Rules, block: Block, ticks: bool, events: bool) -> Iterator[Access]:
    tails: list[Access] = []
    if events:
        tails.append(("write", "events.tail", block.event_tail))
    if ticks:
        tails.append(("write", "ticks.tail", block.tick_tail))
    yield from tails if rules.events_before_ticks else reversed(tails)


def opening(rules: Rules) -> Steps:
    """What a successor does first: bring up what was committed but not published."""
    block = yield "read", "block"
    if rules.roll_forward:
        tail = yield "read", "ticks.tail"
        for sequence in range(tail, block.tick_tail):
            tick = yield "read", ("ticks", sequence % STREAM_CAPACITY)
            held = yield "read", ("latest", tick.instrument)
            newer = held is not None and held.sequence >= tick.sequence
            if not (newer and rules.roll_forward_skips_newer):
                yield "write", ("latest", tick.instrument), tick
        yield from publish_tails(rules, block, ticks=True, events=True)
        if rules.roll_forward_rings:
            yield "write", "unrung", False
    bases = yield from read_bases(rules)
    return "unit", block, bases


def unit(rules: Rules, block: Block, bases: Bases) -> Steps:
    """One unit: a part of a frame, a state change, or an overrun; or nothing to do."""
    tail = yield "read", "source.tail"
    if block.source >= tail:
        return "unit", block, bases
    frame = yield "read", ("source", block.source % SOURCE_CAPACITY)
    oldest = yield "read", "source.oldest"
    retire = [("write", f"{name}.oldest", t) for name, t in _survivors(block)]
    if rules.retire_first:
        yield from retire
    if block.source < oldest:
        following, ticks, events = _overrun(block, oldest, tail)
        source = None
    else:
        source = block.source
        following, ticks, events, bases = yield from _decode(block, len(frame), bases)
    for i, event in enumerate(events):
        yield "write", ("events", (block.event_tail + i) % STREAM_CAPACITY), event
    if not rules.retire_first:
        yield from retire
    if source is not None and rules.recheck:
        oldest = yield "read", "source.oldest"
        if source < oldest:  # nothing has happened, but the bases have seen it
            if rules.bases_rebuilt:
                bases = yield from read_bases(rules)
            return "unit", block, bases
    yield from _commit(rules, block, following, ticks, events)
    if source is None and rules.bases_rebuilt:
        bases = yield from read_bases(rules)
    return "unit", following, bases


def _survivors(block: Block) -> Iterator[tuple[str, int]]:
    yield "events", max(0, block.event_tail + UNIT - STREAM_CAPACITY)
    yield "ticks", max(0, block.tick_tail + UNIT - STREAM_CAPACITY)


def _overrun(block: Block, oldest: int, tail: int) -> tuple[Block, list[Tick], list[Event]]:
    resume = max(oldest + (max(tail, oldest) - oldest) // 4, block.source + 1)
    lost = resume - block.source
    event = Event("overrun", block.tick_tail, block.source, resume)
    following = block._replace(
        source=resume,
        packet=0,
        event_tail=block.event_tail + 1,
        counters=block.counters.plus(frames_in=lost, frames_overrun=lost),
    )
    return following, [], [event]


def _decode(
    block: Block, packets: int, bases: Bases
) -> Generator[Access, Any, tuple[Block, list[Tick], list[Event], Bases]]:
    """Write the slots of a unit; each packet is read from the ring when its turn comes."""
    ticks: list[Tick] = []
    values = dict(zip(INSTRUMENTS, bases, strict=True))
    for packet in range(block.packet, min(block.packet + UNIT, packets)):
        frame = yield "read", ("source", block.source % SOURCE_CAPACITY)
        instrument, value = frame[packet] if packet < len(frame) else ("A", -1)
        sequence = block.tick_tail + len(ticks)
        tick = Tick(sequence, block.source, packet, instrument, value, values[instrument])
        values[instrument] = value
        ticks.append(tick)
        yield "write", ("ticks", sequence % STREAM_CAPACITY), tick
    return *_after(block, packets, ticks), tuple(values.values())


def _after(block: Block, packets: int, ticks: list[Tick]) -> tuple[Block, list[Tick], list[Event]]:
    at = (block.tick_tail, block.source, block.source + 1)
    events = [Event("state", *at)] if packets == 0 else []
    if packets and block.gap_open:
        events = [Event("gap", *at)]
    done = block.packet + len(ticks) == packets
    counted = block.counters.plus(ticks_out=len(ticks))
    if done:
        counted = counted.plus(frames_in=1, **{"frames_data" if packets else "frames_state": 1})
    following = Block(
        source=block.source + done,
        packet=0 if done else block.packet + len(ticks),
        tick_tail=block.tick_tail + len(ticks),
        event_tail=block.event_tail + len(events),
        gap_open=packets == 0,
        counters=counted,
    )
    return following, ticks, events


def _commit(
    rules: Rules, block: Block, following: Block, ticks: list[Tick], events: list[Event]
) -> Generator[Access, Any, None]:
    latest: list[Access] = [("write", ("latest", tick.instrument), tick) for tick in ticks]
    tails = list(publish_tails(rules, following, ticks=bool(ticks), events=bool(events)))
    ring: list[Access] = [("write", "unrung", False)]
    if not rules.counters_in_block:
        apart = yield "read", "counters"
        more = {
            n: getattr(following.counters, n) - getattr(block.counters, n) for n in apart._fields
        }
        yield "write", "counters", apart.plus(**more)
    if not rules.flip_before_latest:
        yield from latest
    if not rules.flip_before_tails:
        yield from tails
    yield "write", "block", following
    if rules.flip_before_latest:
        yield from latest
    if not rules.bell_last:
        yield from ring
    if rules.flip_before_tails:
        yield from tails
    if rules.bell_last:
        yield from ring
