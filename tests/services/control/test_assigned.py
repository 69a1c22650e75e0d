"""The assigned set: rows, slots and tables, without anybody who decides."""

from __future__ import annotations

from pipeline.core.enums import Mode
from pipeline.core.plan import plan_topology
from pipeline.planning.pool import NewConnection
from pipeline.services.control.assigned import Assigned, keys_of
from pipeline.services.control.links import Link
from pipeline.services.control.outside import TopologyRow
from tests.services.control.world import World, pool_config

CONFIG = pool_config(keys=2, pool="instruments_per_connection = 10")


def _assigned(world: World) -> Assigned:
    return Assigned(CONFIG, plan_topology(CONFIG), world)


def test_each_account_is_a_key_by_its_position() -> None:
    found = keys_of(pool_config(keys=2))
    assert [(key.account, key.index) for key in found] == [("a", 0), ("b", 1)]


def test_a_connection_is_written_into_the_topology_and_its_rows_when_it_is_there() -> None:
    world = World()
    assigned = _assigned(world)
    link = assigned.open(NewConnection("b", -1, 2, 0), world.now_ns)
    assigned.assign(7, Mode.FULL, link)
    assigned.write()
    assert world.topology == [TopologyRow(0, 1, 0, 2, 10, True)]
    assert link.dirty and world.writes == 0
    world.step()
    assigned.write()
    assert not link.dirty and world.tables[0] == link.rows
    assigned.close(link)
    assigned.write()
    assert world.topology == [TopologyRow(0, 1, 0, 2, 10, False)]
    assigned.placement[7] = link.number
    assert assigned.empty(link) == [7] and not assigned.placement
    assigned.forget(link)
    assigned.write()
    assert world.topology == [] and assigned.slots[0].free == 60


def test_two_connections_share_the_slot_of_an_instrument() -> None:
    assigned = _assigned(World())
    one, other = (assigned.open(NewConnection("a", -1, seat, 0), 0) for seat in (0, 1))
    assigned.assign(7, Mode.LTP, one)
    assigned.assign(7, Mode.LTP, other)
    assert one.rows[7].slot == other.rows[7].slot
    assert one.rows[7].owner_epoch < other.rows[7].owner_epoch
    assigned.set_mode(7, Mode.FULL)
    assert {link.rows[7].mode for link in (one, other)} == {Mode.FULL}
    assigned.placement[7] = one.number
    assigned.let_go(7)
    assert not one.rows and not other.rows and not assigned.placement
    assert assigned.counters.unsubscriptions == 1


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


def test_adoption_finds_what_was_moving_and_refuses_what_cannot_be() -> None:
    world = World()
    first = _assigned(world)
    one, other = (first.open(NewConnection("a", -1, seat, 0), 0) for seat in (0, 1))
    first.write()
    world.step()
    first.assign(7, Mode.LTP, one)
    first.assign(7, Mode.LTP, other)
    first.assign(8, Mode.LTP, one)
    first.write()
    world.tables[1][9] = world.tables[0][8]  # another instrument with a slot that is taken
    again = _assigned(world)
    assert again.adopt(world.now_ns) == {7: (0, 1)}
    assert again.placement == {7: 0, 8: 0}
    assert 9 not in again.links[1].rows and again.links[1].dirty
    assert not again.links[0].dirty
