"""Connections' rows, and the slots of the latest tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.enums import Mode
from pipeline.services.control.links import Link, Row, Slots


def _link() -> Link:
    return Link(
        number=0, account="a", account_index=0, decoder=0, seat=0, capacity=10, opened_mono_ns=0,
        healthy_mono_ns=0, dirty=False,
    )  # fmt: skip


def test_only_a_change_makes_a_link_dirty() -> None:
    link = _link()
    link.take(1)
    assert not link.dirty
    row = Row(Mode.FULL, 0, 1)
    link.put(1, row)
    assert link.dirty
    link.dirty = False
    link.put(1, row)
    assert not link.dirty
    link.put(1, row._replace(mode=Mode.LTP))
    assert link.dirty


def test_a_slot_is_the_instruments_on_however_many_connections() -> None:
    slots = Slots(2)
    assert slots.take(7) == slots.take(7) == 0
    slots.give_back(7)
    assert slots.free == 1
    slots.give_back(7)
    assert slots.free == 2
    assert slots.take(8) == 1  # the one given back last is used again last


def test_no_more_slots_than_there_are() -> None:
    slots = Slots(1)
    slots.take(1)
    assert slots.has(1) and not slots.has(2) and not slots.free
    with pytest.raises(KeyError):
        slots.take(2)


def test_adoption_refuses_what_cannot_be() -> None:
    slots = Slots(4)
    assert slots.adopt(1, 2) and slots.adopt(1, 2)
    assert not slots.adopt(1, 3)  # another slot for the same instrument
    assert not slots.adopt(9, 2)  # another instrument's slot
    assert not slots.adopt(9, 4)  # there is none such
    assert slots.free == 3


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
def test_slots_in_use_are_unique(steps: list[tuple[bool, int]]) -> None:
    slots, uses = Slots(6), dict[int, list[int]]()
    for take, token in steps:
        if take:
            uses.setdefault(token, []).append(slots.take(token))
        elif uses.get(token):
            uses[token].pop()
            slots.give_back(token)
        held = {token: set(found) for token, found in uses.items() if found}
        assert all(len(found) == 1 for found in held.values())
        assert len({s for found in held.values() for s in found}) == len(held)
        assert slots.free == 6 - len(held)
