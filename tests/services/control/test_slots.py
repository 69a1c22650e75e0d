"""The slots of a latest table: whose, beside which, again when."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.services.control.slots import BLOCK, Slots


def test_a_slot_is_the_instruments_on_however_many_connections() -> None:
    slots = Slots(2)
    assert slots.take(7, 0) == slots.take(7, 1) == 0
    slots.give_back(7)
    assert slots.free == 1
    slots.give_back(7)
    assert slots.free == 2
    assert slots.take(8, 0) == 1  # the one given back last is used again last


def test_a_block_remembers_since_when_its_slots_are_free() -> None:
    """However often it was nobody's in between."""
    slots = Slots(3, block=3)
    for slot in (0, 1, 0):
        assert slots.adopt(7, slot, 0)
        slots.give_back(7)
    assert [slots.take(token, 0) for token in range(3)] == [2, 1, 0]


def test_no_more_slots_than_there_are() -> None:
    slots = Slots(1)
    slots.take(1, 0)
    assert slots.has(1) and not slots.has(2) and not slots.free
    with pytest.raises(KeyError):
        slots.take(2, 0)
    assert not slots.has(2)


def test_adoption_refuses_what_cannot_be() -> None:
    slots = Slots(4)
    assert slots.adopt(1, 2, 0) and slots.adopt(1, 2, 1)
    assert not slots.adopt(1, 3, 0)  # another slot for the same instrument
    assert not slots.adopt(9, 2, 0)  # another instrument's slot
    assert not slots.adopt(9, 4, 0)  # there is none such
    assert slots.free == 3


def test_what_is_dealt_out_in_turn_lies_side_by_side() -> None:
    slots = Slots(9000)
    in_turn = [slots.take(token, token % 3) for token in range(9000)]
    for number in range(3):
        own = in_turn[number::3]
        assert own[:BLOCK] == list(range(number * BLOCK, (number + 1) * BLOCK))
        # No more blocks than it fills, but for two: the last of all is not a whole one, and what
        # others have left is used in the end.
        assert len({slot // BLOCK for slot in own}) <= -(-3000 // BLOCK) + 2
    assert sorted(in_turn) == list(range(9000))


def test_a_connection_goes_on_in_its_block_and_then_in_a_new_one() -> None:
    slots = Slots(12, block=4)
    assert [slots.take(token, 5) for token in range(3)] == [0, 1, 2]
    assert [slots.take(10 + token, 6) for token in range(2)] == [4, 5]
    assert [slots.take(20 + token, 5) for token in range(3)] == [3, 8, 9]


def test_without_a_new_block_anybodys_slot_is_taken() -> None:
    slots = Slots(8, block=4)
    slots.take(1, 0)  # leaves 1 to 3 to that connection
    assert [slots.take(10 + i, 1) for i in range(4)] == [4, 5, 6, 7]
    assert [slots.take(20 + i, 1) for i in range(2)] == [1, 2]
    assert slots.take(2, 0) == 3
    with pytest.raises(KeyError):
        slots.take(3, 0)


def test_a_slot_given_back_is_used_after_all_that_were_free_for_longer() -> None:
    slots = Slots(8, block=4)
    for token in range(3):
        slots.take(token, 0)
    slots.give_back(1)
    slots.give_back(0)
    # What was never used, there and in a new block; then what was given back, the older one first.
    assert [slots.take(10 + i, 0) for i in range(7)] == [3, 4, 5, 6, 7, 1, 0]


def test_an_emptied_block_is_anybodys_and_comes_after_the_others() -> None:
    slots = Slots(12, block=4)
    for token in (0, 1):
        slots.take(token, 0)
    slots.give_back(1)
    slots.give_back(0)
    assert slots.free == 12
    assert [slots.take(10 + i, 0) for i in range(8)] == [4, 5, 6, 7, 8, 9, 10, 11]
    # In it first what nobody had, then what was given back, the older one first.
    assert [slots.take(20 + i, 1) for i in range(4)] == [2, 3, 1, 0]


def test_who_adopts_goes_on_in_its_own_blocks() -> None:
    slots = Slots(12, block=4)
    assert slots.adopt(1, 5, 7) and slots.adopt(2, 9, 8)
    assert [slots.take(10 + i, 8) for i in range(3)] == [8, 10, 11]
    assert [slots.take(20 + i, 7) for i in range(3)] == [4, 6, 7]
    # What moved keeps its slot, in a block of the connection that adopted first.
    assert slots.adopt(3, 0, 7) and slots.adopt(4, 1, 8)
    assert slots.take(30, 8) == 2 and slots.take(31, 7) == 3 and not slots.free


BLOCK_HERE: Final = 4


class Machine(RuleBasedStateMachine):
    """Takes, gives back and adopts; a model knows who holds what, and since when what is free."""

    COUNT, TOKENS = 22, st.integers(0, 24)
    CONNECTIONS = st.integers(0, 3)

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(self.COUNT, block=BLOCK_HERE)
        self.uses: dict[int, list[int]] = {}
        self.given_back: list[int] = []

    @property
    def held(self) -> dict[int, int]:
        return {token: found[0] for token, found in self.uses.items() if found}

    def free(self) -> set[int]:
        return set(range(self.COUNT)) - set(self.held.values())

    def occupy(self, token: int, slot: int) -> None:
        self.uses.setdefault(token, []).append(slot)
        if slot in self.given_back:
            self.given_back.remove(slot)

    @rule(token=TOKENS, connection=CONNECTIONS)
    def take(self, token: int, connection: int) -> None:
        free, held = self.free(), self.held
        if token not in held and not free:
            with pytest.raises(KeyError):
                self.slots.take(token, connection)
            return
        slot = self.slots.take(token, connection)
        assert slot == held[token] if token in held else slot in free
        if token not in held and self.given_back[-1:] == [slot]:
            # The one given back last comes after all others of its block.
            assert [one for one in free if one // BLOCK_HERE == slot // BLOCK_HERE] == [slot]
        self.occupy(token, slot)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.held)))
        slot = self.uses[token].pop()
        self.slots.give_back(token)
        if not self.uses[token]:
            self.given_back.append(slot)

    @rule(token=TOKENS, slot=st.integers(-1, COUNT), connection=CONNECTIONS)
    def adopt(self, token: int, slot: int, connection: int) -> None:
        own = self.held.get(token)
        possible = own == slot if own is not None else slot in self.free()
        assert self.slots.adopt(token, slot, connection) is possible
        if possible:
            self.occupy(token, slot)

    @invariant()
    def counts_and_slots_agree(self) -> None:
        held = self.held
        assert all(len(set(found)) == 1 for found in self.uses.values() if found)
        assert len(set(held.values())) == len(held)
        assert self.slots.free == self.COUNT - len(held)
        assert all(self.slots.has(token) == (token in held) for token in range(25))


TestMachine = Machine.TestCase
