"""The graph of all states of a decoder and its feed: every interleaving, any number of deaths.

A decoder may die at any access, its successors too; the graph is finite and is searched whole.
Readers are not threads here: what they would see is checked at every store.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.model.commit_model import (
    FRAMES,
    INSTRUMENTS,
    PLACE,
    STATE,
    STREAM_CAPACITY,
    Counters,
    Event,
    Life,
    Rules,
    Shared,
    Tick,
    feed_step,
    initial,
    opening,
    unit,
)


class Violation(AssertionError):
    """What must never be visible in shared memory."""


class State(NamedTuple):
    """Everything: shared words, how far the feed is, and the decoder as its life and what it has
    read since; `delivered` is what readers have been able to see, in order."""

    shared: Shared
    fed: int
    life: Life
    log: tuple[Any, ...]
    delivered: tuple[Any, ...]


def explore(rules: Rules) -> int:
    """Visit every state that can be reached; return how many there are.

    Raises Violation at the first state that shows what must not be.
    """
    first = State(initial(), 0, ("open",), (), ())
    seen = {first}
    pending = [first]
    while pending:
        state = pending.pop()
        for following in _following(rules, state):
            if following not in seen:
                seen.add(following)
                pending.append(following)
    return len(seen)


def _following(rules: Rules, state: State) -> Iterator[State]:
    if state.fed < 3 * len(FRAMES):
        location, value = feed_step(state.shared, state.fed)
        yield state._replace(shared=_stored(state.shared, location, value), fed=state.fed + 1)
    yield state._replace(life=("open",), log=())  # death, and a successor
    stepped = _decoder_step(rules, state)
    idle = stepped.life == state.life and not state.log and not stepped.log
    if idle and state.fed == 3 * len(FRAMES):
        check_end(rules, stepped.shared, stepped.delivered)
    yield stepped


def _decoder_step(rules: Rules, state: State) -> State:
    """Let the decoder do its next access: run its life again up to there."""
    name, *arguments = state.life
    steps = opening(rules) if name == "open" else unit(rules, *arguments)
    shared, delivered = state.shared, state.delivered
    try:
        access = next(steps)
        for answer in state.log:
            access = steps.send(answer)
        answer = None
        if access[0] == "read":
            answer = shared[PLACE[access[1]]]
        else:
            shared, delivered = _written(rules, shared, delivered, access[1], access[2])
        steps.send(answer)
    except StopIteration as ended:
        return State(shared, state.fed, ended.value, (), delivered)
    return State(shared, state.fed, state.life, (*state.log, answer), delivered)


def _stored(shared: Shared, location: Any, value: Any) -> Shared:
    place = PLACE[location]
    return (*shared[:place], value, *shared[place + 1 :])


# ---- what must hold ---------------------------------------------------------------------------


def _require(condition: bool, complaint: str) -> None:
    if not condition:
        raise Violation(complaint)


def _written(
    rules: Rules, shared: Shared, delivered: tuple[Any, ...], location: Any, value: Any
) -> tuple[Shared, tuple[Any, ...]]:
    """Store, after a look at what readers would see of it."""
    before = shared[PLACE[location]]
    if location in ("ticks.tail", "events.tail"):
        name = location.split(".")[0]
        fresh = [shared[PLACE[name, s % STREAM_CAPACITY]] for s in range(before, value)]
        _require(value >= before, f"{location} goes back")
        if name == "ticks":
            _require(
                [tick.sequence for tick in fresh] == list(range(before, value)),
                "a published slot holds another tick",
            )
            _check_events_first(shared, value)
        if fresh:
            delivered = (*delivered, *fresh)
            shared = _stored(shared, "unrung", True)
    elif location in ("ticks.oldest", "events.oldest"):
        _require(value >= before, f"{location} goes back")
    elif location[0] in ("ticks", "events"):
        _check_given_up(shared, location)
    elif location[0] == "latest":
        _require(before is None or value.sequence >= before.sequence, "the latest tick goes back")
        committed = shared[PLACE["block"]].tick_tail
        _require(value.sequence < committed, "the latest table is ahead of the commit")
    return _stored(shared, location, value), delivered


def _check_events_first(shared: Shared, tick_tail: int) -> None:
    """Events that precede a tick are published before it."""
    block = shared[PLACE["block"]]
    for sequence in range(shared[PLACE["events.tail"]], block.event_tail):
        event = shared[PLACE["events", sequence % STREAM_CAPACITY]]
        _require(event.tick_sequence >= tick_tail, "a tick overtakes an event before it")


def _check_given_up(shared: Shared, location: Any) -> None:
    """A slot is overwritten only when `oldest` has passed the record that it held."""
    name, index = location
    tail = shared[PLACE[f"{name}.tail"]]
    oldest = shared[PLACE[f"{name}.oldest"]]
    visible = [s for s in range(oldest, tail) if s % STREAM_CAPACITY == index]
    _require(not visible, f"a readable slot of {name} is overwritten")


def check_end(rules: Rules, shared: Shared, delivered: tuple[Any, ...]) -> None:
    """The feed has ended and the decoder found nothing to do: all is accounted for, once."""
    block = shared[PLACE["block"]]
    ticks = [each for each in delivered if isinstance(each, Tick)]
    events = [each for each in delivered if isinstance(each, Event)]
    _require(block.source == len(FRAMES), "frames are left over")
    _require(not shared[PLACE["unrung"]], "readers were not woken after the last publication")
    _require(shared[PLACE["ticks.tail"]] == block.tick_tail == len(ticks), "ticks are missing")
    _require(shared[PLACE["events.tail"]] == block.event_tail == len(events), "events are missing")
    _check_ticks(ticks, events)
    _check_events(ticks, events)
    _check_counters(rules, shared, ticks, events)
    last = {tick.instrument: tick for tick in ticks}
    for name in INSTRUMENTS:
        _require(
            shared[PLACE["latest", name]] == last.get(name),
            "the latest table differs from the stream",
        )


def _lost(events: list[Event]) -> set[int]:
    return {
        source
        for event in events
        if event.kind == "overrun"
        for source in range(event.first_source, event.next_source)
    }


def _check_ticks(ticks: list[Tick], events: list[Event]) -> None:
    """Each packet of a frame that was not lost is there once, whole, in order."""
    lost = _lost(events)
    found = [(tick.source, tick.packet) for tick in ticks]
    _require(found == sorted(set(found)), "ticks are doubled or out of order")
    for source, frame in enumerate(FRAMES):
        packets = [packet for s, packet in found if s == source]
        if source not in lost:
            _require(packets == list(range(len(frame))), "a tick is lost without an overrun")
    before = dict.fromkeys(INSTRUMENTS, 0)
    for tick in ticks:
        packet = FRAMES[tick.source][tick.packet : tick.packet + 1]
        _require(packet == ((tick.instrument, tick.value),), "a torn tick")
        _require(tick.value_before == before[tick.instrument], "a tick held against a wrong base")
        before[tick.instrument] = tick.value


def _check_events(ticks: list[Tick], events: list[Event]) -> None:
    """One state event for each state frame that was read, and one gap before the next data."""
    lost = _lost(events)
    states = [event.first_source for event in events if event.kind == "state"]
    gaps = [event for event in events if event.kind == "gap"]
    read = [source for source in range(len(FRAMES)) if source not in lost]
    _require(states == [s for s in read if FRAMES[s] == STATE], "a state change is not once")
    expected = []
    for state in states:
        expected += [source for source in read if source > state][:1]
    starts = [gap.first_source for gap in gaps]
    # A frame whose gap was announced may be lapped before it is finished.
    _require(starts[: len(expected)] == expected or bool(lost), "a gap is not once")
    _require(len(starts) == len(set(starts)) <= len(states), "a gap is doubled")
    for gap in gaps:
        behind = [tick.sequence for tick in ticks if tick.source >= gap.first_source]
        _require(behind[:1] in ([], [gap.tick_sequence]), "a gap stands at a wrong tick")


def _check_counters(rules: Rules, shared: Shared, ticks: list[Tick], events: list[Event]) -> None:
    counters = shared[PLACE["block"]].counters
    if not rules.counters_in_block:
        counters = shared[PLACE["counters"]]
    lost = _lost(events)
    states = sum(frame == STATE for s, frame in enumerate(FRAMES) if s not in lost)
    expected = Counters(
        len(FRAMES), len(FRAMES) - len(lost) - states, states, len(lost), len(ticks)
    )
    _require(counters == expected, f"counters {counters}, expected {expected}")
