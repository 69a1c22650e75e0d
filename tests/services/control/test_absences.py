"""Until when instruments ticked, over whatever becomes of their connections."""

from __future__ import annotations

from pipeline.core.enums import Mode
from pipeline.core.plan import plan_topology
from pipeline.planning.pool import NewConnection
from pipeline.services.control.assigned import Assigned
from pipeline.services.control.links import Link
from tests.services.control.world import World, pool_config

CONFIG = pool_config(keys=2, pool="instruments_per_connection = 10")


def _assigned(world: World) -> Assigned:
    return Assigned(CONFIG, plan_topology(CONFIG), world)


def test_what_was_on_no_connection_says_since_when() -> None:
    world = World()
    assigned = _assigned(world)
    one, other = (assigned.open(NewConnection("a", -1, seat, 0), 0) for seat in (0, 1))
    for token in (7, 8, 9):
        assigned.assign(token, Mode.LTP, one)
        assigned.placement[token] = one.number
    assert {row.left_mono_ns for row in one.rows.values()} == {0}
    _tick(assigned, world)
    assigned.assign(8, Mode.LTP, other)  # made before it is broken
    _tick(assigned, world, 8)
    left_ns = world.decoded_until(one.number)
    assigned.unassign(8, one)
    assigned.take_away(7, one)
    assigned.take_away(9, one, until_ns=left_ns - 5)
    for token in (7, 9):
        assigned.assign(token, Mode.LTP, other)
    assert _left(other) == {8: 0, 7: left_ns, 9: left_ns - 5}
    assigned.set_mode(7, Mode.FULL)
    assert other.rows[7].left_mono_ns == left_ns
    assigned.placement |= {7: other.number}
    assigned.let_go(7)
    assigned.assign(7, Mode.LTP, one)
    assert one.rows[7].left_mono_ns == 0  # nobody wanted it in between


def test_a_gap_that_no_tick_has_ended_goes_on() -> None:
    """Whichever connection ticks first after all says since when it was on none."""
    world = World()
    assigned = _assigned(world)
    links = [assigned.open(NewConnection("a", -1, seat, 0), 0) for seat in range(3)]
    for token in (7, 8, 9):
        assigned.assign(token, Mode.LTP, links[0])
    _tick(assigned, world)
    left_ns = world.decoded_until(0)
    for token in (7, 8, 9):
        assigned.unassign(token, links[0])
        assigned.assign(token, Mode.LTP, links[1])
    assigned.write()
    assigned.unassign(7, links[1])  # which never came up
    assigned.assign(7, Mode.LTP, links[2])
    assigned.assign(8, Mode.LTP, links[2])  # to which it moves meanwhile
    assert _left(links[2]) == {7: left_ns, 8: left_ns}
    _tick(assigned, world, 9)
    assigned.assign(9, Mode.LTP, links[2])
    assert _left(links[2])[9] == 0


def test_a_gap_that_a_tick_has_ended_is_nobodys_any_more() -> None:
    """Whatever the row of another says, on which none has come."""
    world = World()
    assigned = _assigned(world)
    links = [assigned.open(NewConnection("a", -1, seat, 0), 0) for seat in range(4)]
    assigned.assign(7, Mode.LTP, links[0])
    _tick(assigned, world)
    assigned.unassign(7, links[0])
    for link in links[1:3]:
        assigned.assign(7, Mode.LTP, link)
    assigned.write()
    world.ticked = {(2, 7)}
    assert _left(links[1])[7] > 0
    assigned.assign(7, Mode.LTP, links[3])
    assert _left(links[3]) == {7: 0}


def test_a_connection_that_goes_on_in_vain_says_so() -> None:
    world = World()
    assigned = _assigned(world)
    links = [assigned.open(NewConnection("a", -1, seat, 0), 0) for seat in range(2)]
    assigned.assign(7, Mode.LTP, links[0])
    _tick(assigned, world)
    assigned.assign(7, Mode.LTP, links[1])
    assigned.write()
    left_ns = world.decoded_until(0)
    assigned.unassign(7, links[0])
    assert _left(links[1]) == {7: left_ns} and links[1].dirty


def _tick(assigned: Assigned, world: World, *tokens: int) -> None:
    """Write the tables, and have these tick wherever they are; none given: all."""
    assigned.write()
    world.step()
    assigned.write()
    rows = {(number, token) for number, table in world.tables.items() for token in table}
    world.ticked |= {row for row in rows if not tokens or row[1] in tokens}


def _left(link: Link) -> dict[int, int]:
    return {token: row.left_mono_ns for token, row in link.rows.items()}
