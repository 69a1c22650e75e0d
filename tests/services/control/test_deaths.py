"""The control process dies between any two of its writes: its successor finds everything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import pytest

from pipeline.planning.pool import Move
from pipeline.services.control.kept import Kept
from pipeline.services.control.links import Link
from pipeline.services.control.outside import TopologyRow
from tests.services.control.world import Rig, World, pool_config

POOL = "instruments_per_connection = 40\nheadroom = 0.0\nredistribute_after_s = 0.3"
ALL = f'{POOL}\nopen = "all"'
MIRROR = "mirror = [1, 2, 3, 4, 5, 6]"
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

    def keep(self, owner: str | None, kept: Kept) -> None:
        if kept != self.kept.get(owner, Kept()):
            self._pass()
        super().keep(owner, kept)

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


def _moves_both_ways(rig: Rig) -> None:
    """Two connections take from each other in one turn."""
    tokens = {number: list(rows) for number, rows in rig.world.tables.items()}
    moves = [Move(t, 0, 1, break_before_make=True) for t in tokens[0][:3]]
    moves += [Move(t, 1, 0, break_before_make=True) for t in tokens[1][:3]]
    rig.pool.moves.replace_waiting(moves)
    rig.turn(0.1)


def _full_ones_change_places(rig: Rig) -> None:
    """So does an outage of a decoder's only connection, while another one comes back."""
    rig.want("a", range(101, 185))
    rig.turn(0.1)
    _moves_both_ways(rig)


def _outage_of_a_decoder(rig: Rig) -> None:
    """What it carried goes to a connection of another one, which is made afterwards."""
    rig.world.down = {0}
    rig.turn(0.28)
    for _ in range(20):
        rig.turn(0.02)


def _a_replacement_that_comes_later(rig: Rig) -> None:
    rig.pool.upkeep.recycle(0)
    rig.turn(2.5)


def _what_has_no_room(rig: Rig) -> None:
    """It is in no table at all, and wanted."""
    rig.pool.refusals.limits[0] = rig.pool.links[0].capacity = 5
    rig.want("a", range(201, 330))
    rig.turn(0.1)


def _a_closed_connection(rig: Rig) -> None:
    rig.pool.assigned.close(rig.pool.links[1])
    rig.turn(0.1)


def _a_connection_drains(rig: Rig) -> None:
    rig.pool.upkeep.drain(0)
    rig.turn(3.0)


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
        (ALL, DECODERS, _moves_both_ways),
        (ALL, DECODERS, _full_ones_change_places),
        (POOL, DECODERS, _outage_of_a_decoder),
        (POOL, DECODERS, _a_replacement_that_comes_later),
        (ALL, "", _what_has_no_room),
        (ALL, "", _a_closed_connection),
        (ALL, DECODERS, _a_closed_connection),
        (f"{ALL}\n{MIRROR}", "", _outage),
        (f"{ALL}\n{MIRROR}", "", _moves),
        (f"{ALL}\n{MIRROR}", "", _a_connection_drains),
        (f"{ALL}\n{MIRROR}", "", _a_closed_connection),
        (f"{POOL}\n{MIRROR}", "", _outage_with_new_connections),
        (f"{POOL}\n{MIRROR}", "", _a_replacement_that_comes_later),
        (f"{ALL}\n{MIRROR}", "", _what_has_no_room),
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
        known = {token for rows in world.tables.values() for token in rows}
        again = Rig(rig.config, world)  # whose clients have yet to come back
        # What had not been answered for when it died the client asks for again.
        late = rig.pool.ledger.desired.keys() - set(wanted)
        found = again.pool.ledger.desired.keys()
        assert set(wanted) | known <= found, f"died before write {writes + 1}"
        assert found <= set(wanted) | late
        assert died or found == set(wanted) | late
        again.turn(3.0)
        carried = again.pool.placement.keys() | again.pool.unplaced.keys()
        assert carried == found and set(wanted) <= again.pool.placement.keys()
        again.check()
        assert again.pool.mirrors.wished == (set(range(1, 7)) if MIRROR in pool else set())
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
