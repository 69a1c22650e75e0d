"""The assigned set: rows, slots and tables, without anybody who decides."""

from __future__ import annotations

from pipeline.core.enums import Mode
from pipeline.core.plan import plan_topology
from pipeline.planning.pool import NewConnection
from pipeline.services.control.assigned import Assigned
from pipeline.services.control.outside import TopologyRow
from tests.services.control.world import World, pool_config

CONFIG = pool_config(keys=2, pool="instruments_per_connection = 10")


def _assigned(world: World) -> Assigned:
    return Assigned(CONFIG, plan_topology(CONFIG), world)


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


def test_adoption_keeps_an_instrument_on_one_decoder() -> None:
    """A break was under way: of what the other decoder's connections have nothing may remain."""
    world = World()
    config = pool_config(
        keys=2, pool="instruments_per_connection = 10", more="[decoder]\ncount = 2"
    )
    first = Assigned(config, plan_topology(config), world)
    decoders = (0, 0, 1, 1, 1, 1)
    links = [first.open(NewConnection("a", -1, n, d), 0) for n, d in enumerate(decoders)]
    for link in links:
        first.assign(7, Mode.LTP, link)
    for link in links[:2]:
        first.assign(8, Mode.LTP, link)
    first.write()
    world.step()
    first.write()
    world.ticked |= {(number, 7) for number in range(6)}
    again = Assigned(config, plan_topology(config), world)
    # The file knows the newest of two second halves; which the older was, no table tells.
    assert again.adopt(world.now_ns, {7: 4}) == {7: (2, 5), 8: (0, 1)}
    assert again.placement == {7: 2, 8: 0} and again.mirrors == {7: 4}
    assert [n for n, link in again.links.items() if 7 in link.rows] == [2, 4, 5]
    assert again.links[0].dirty and not again.links[2].dirty
    assert again.slots[0].free == plan_topology(config).decoders[0].slots - 1


def test_a_broken_move_s_source_says_until_when_it_went_on() -> None:
    world = World()
    config = pool_config(pool="instruments_per_connection = 10", more="[decoder]\ncount = 2")
    first = Assigned(config, plan_topology(config), world)
    links = [first.open(NewConnection("a", -1, n, n), 0) for n in range(2)]
    first.assign(7, Mode.LTP, links[0])
    first.write()
    world.step()
    first.write()
    world.step()
    first.assign(7, Mode.LTP, links[1])
    first.write()
    again = Assigned(config, plan_topology(config), world)
    assert again.adopt(world.now_ns) == {} and again.placement == {7: 1}
    assert again.links[1].rows[7].left_mono_ns == world.decoded_until(0)
