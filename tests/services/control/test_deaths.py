"""The control process dies between any two of its writes: its successor finds everything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import pytest

from pipeline.planning.pool import Move
from pipeline.services.control.links import Link
from pipeline.services.control.outside import TopologyRow
from tests.services.control.world import Rig, World, pool_config

POOL = "instruments_per_connection = 40\nheadroom = 0.0\nredistribute_after_s = 0.3"
ALL = f'{POOL}\nopen = "all"'
DECODERS = "[decoder]\ncount = 3"
WRITES_MAX = 40


class Death(Exception):
    """The end of a control process."""


class Mortal(World):
    """A world in which the control process dies before so many writes more."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left = 2**31

    def _pass(self) -> None:
        if self.writes_left <= 0:
            raise Death
        self.writes_left -= 1

    def write(self, link: Link) -> bool:
        self._pass()
        return super().write(link)

    def write_topology(self, rows: Iterable[TopologyRow], accounts: Collection[int]) -> None:
        self._pass()
        super().write_topology(rows, accounts)


def _outage(rig: Rig) -> None:
    rig.world.down = {0}
    rig.turn(1.0)


def _outage_with_new_connections(rig: Rig) -> None:
    """Where it goes is made after it was decided."""
    rig.world.down = {0}
    rig.turn(0.28)
    for _ in range(20):  # each turn is before the supervisor's
        rig.turn(0.02)


def _broken_moves(rig: Rig) -> None:
    tokens = {number: list(rows) for number, rows in rig.world.tables.items()}
    moves = [Move(t, 2, 0, break_before_make=True) for t in tokens[2][:5]]
    moves += [Move(t, 0, 1, break_before_make=True) for t in tokens[0][:5]]
    rig.pool.moves.replace_waiting(moves)
    rig.turn(0.1)


def _a_closed_connection(rig: Rig) -> None:
    rig.pool.assigned.close(rig.pool.links[1])
    rig.turn(0.1)


def _moves(rig: Rig) -> None:
    tokens = list(rig.world.tables[0])
    rig.pool.moves.replace_waiting([Move(t, 0, 1) for t in tokens[:5]])
    rig.turn(0.2)


@pytest.mark.parametrize(
    ("pool", "more", "change"),
    [
        (ALL, "", _outage),
        (POOL, "", _outage_with_new_connections),
        (ALL, "", _moves),
        (ALL, DECODERS, _broken_moves),
        (ALL, "", _a_closed_connection),
        (ALL, DECODERS, _a_closed_connection),
    ],
)
def test_whenever_it_dies_each_instrument_is_in_a_table(
    pool: str, more: str, change: Callable[[Rig], None]
) -> None:
    wanted = range(1, 37)
    for writes in range(WRITES_MAX):
        world = Mortal()
        rig = Rig(pool_config(pool=pool, more=more), world)
        rig.want("a", wanted)
        rig.turn()
        world.writes_left = writes
        try:
            change(rig)
        except Death:
            died = True
        else:
            died = False
        world.writes_left = 2**31
        again = Rig(rig.config, world)  # whose clients have yet to come back
        assert again.pool.placement.keys() == set(wanted), f"died before write {writes + 1}"
        again.turn(3.0)
        assert again.pool.placement.keys() == set(wanted)
        again.check()
        if not died:
            return
    raise AssertionError("it writes more than was tried")


def test_two_that_take_from_each_other_are_both_written() -> None:
    world = Mortal()
    rig = Rig(pool_config(pool=ALL, more=DECODERS), world)
    rig.want("a", range(1, 37))
    rig.turn()
    tokens = {number: list(rows) for number, rows in world.tables.items()}
    moves = [Move(t, 0, 1, break_before_make=True) for t in tokens[0][:3]]
    moves += [Move(t, 1, 0, break_before_make=True) for t in tokens[1][:3]]
    rig.pool.moves.replace_waiting(moves)
    rig.turn(0.1)
    assert not any(link.dirty for link in rig.pool.links.values())
    assert set(tokens[0][:3]) <= world.tables[1].keys()
    assert set(tokens[1][:3]) <= world.tables[0].keys()
    rig.check()
