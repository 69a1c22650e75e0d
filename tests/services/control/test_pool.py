"""The pool manager in a world of its own, with time passed in."""

from __future__ import annotations

import random

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Mode
from pipeline.planning.pool import Move, Want, Why
from pipeline.services.control.pool import ADOPTED, Pool
from tests.services.control.world import Rig, World, pool_config

CAP_10 = "instruments_per_connection = 10\nheadroom = 0.0"


def _three(more: str = "") -> tuple[Rig, int, int]:
    """Return three instruments on three connections, whose 1 has, and another one."""
    rig = Rig(pool_config(pool=f'open = "all"\n{more}'))
    rig.want("a", range(1, 4))
    rig.turn(1.0)
    source = rig.pool.placement[1]
    return rig, source, (source + 1) % 3


def test_nothing_is_opened_before_something_is_wanted() -> None:
    rig = Rig(pool_config())
    rig.turn()
    assert rig.world.topology == [] and rig.counts() == {}
    rig.want("a", [408065])
    rig.turn()
    assert rig.counts() == {0: 1}
    rig.check()


def test_growth_is_lazy_and_packed() -> None:
    rig = Rig(pool_config(pool='instruments_per_connection = 1000\npolicy = "first_fit"'))
    rig.want("a", range(1, 2501))
    rig.turn()
    assert rig.counts() == {0: 1000, 1: 1000, 2: 500}
    rig.check()


def test_what_exceeds_the_pool_is_told_and_waits_without_harm() -> None:
    rig = Rig(pool_config(pool=CAP_10))
    rig.want("a", range(1, 32))
    rig.turn()
    assert sum(rig.counts().values()) == 30
    assert list(rig.pool.unplaced.values()) == [Why.CAPACITY]
    rig.pool.ledger.remove("a", [3])
    rig.turn(2.0)
    assert not rig.pool.unplaced
    rig.check()


def test_a_plan_changes_nothing_and_counts_what_waits() -> None:
    rig = Rig(pool_config(pool=CAP_10))
    wants = {token: Want(token) for token in range(1, 32)}
    plan = rig.pool.plan(wants, all_or_nothing=True)
    assert len(plan.refused) == 1 and plan.available == 30
    assert not rig.pool.plan({1: Want(1)}, all_or_nothing=True).refused
    rig.turn()
    assert rig.counts() == {}


def test_freed_places_are_used_again() -> None:
    rig = Rig(pool_config(pool='instruments_per_connection = 1000\npolicy = "first_fit"'))
    rig.want("a", range(1, 1501))
    rig.turn()
    rig.pool.ledger.remove("a", range(1, 601))
    rig.turn()
    rig.want("a", range(2001, 2401))
    rig.turn()
    assert sum(rig.counts().values()) == 1300 and len(rig.counts()) == 2
    rig.check()


def test_a_mode_changes_in_place() -> None:
    rig = Rig(pool_config())
    rig.want("a", [1, 2], Mode.LTP)
    rig.turn()
    slot = rig.world.tables[0][1].slot
    rig.want("b", [1], Mode.FULL)
    rig.turn()
    assert rig.world.tables[0][1].mode is Mode.FULL
    assert rig.world.tables[0][1].slot == slot
    assert rig.world.tables[0][2].mode is Mode.LTP
    rig.check()


def test_a_calm_pool_writes_nothing() -> None:
    rig = Rig(pool_config())
    rig.want("a", range(1, 100))
    rig.turn()
    writes = rig.world.writes
    rig.turn(3.0)
    assert rig.world.writes == writes
    assert not rig.pool.is_busy


def test_an_outage_moves_what_others_have_room_for() -> None:
    rig = Rig(pool_config(pool='redistribute_after_s = 1.0\nopen = "all"'))
    rig.want("a", range(1, 301))
    rig.turn()
    assert rig.counts() == {0: 100, 1: 100, 2: 100}
    rig.world.down = {1}
    rig.turn(0.9)
    assert rig.counts()[1] == 100  # a short one moves nothing
    rig.turn(0.3)
    assert rig.counts() == {0: 150, 1: 0, 2: 150}
    assert rig.pool.orphans == {}
    rig.check()


def test_a_feed_that_hangs_is_as_good_as_down() -> None:
    rig = Rig(pool_config(pool='redistribute_after_s = 1.0\nopen = "all"'))
    rig.want("a", range(1, 31))
    rig.turn()
    rig.world.hung = {1: rig.world.now_ns}
    rig.turn(1.8)
    assert rig.counts()[1] == 10
    rig.turn(0.4)
    assert rig.counts() == {0: 15, 1: 0, 2: 15}
    rig.check()


def test_what_has_no_room_elsewhere_waits_and_is_told() -> None:
    rig = Rig(pool_config(pool=f"redistribute_after_s = 1.0\n{CAP_10}"))
    rig.want("a", range(1, 31))
    rig.turn()
    rig.world.down = {2}
    rig.turn(2.0)
    assert rig.counts() == {0: 10, 1: 10, 2: 10}
    assert len(rig.pool.orphans) == 10 and set(rig.pool.orphans.values()) == {2}
    rig.world.down = set()
    rig.turn()
    assert rig.pool.orphans == {}
    rig.check()


def test_a_move_is_made_before_it_is_broken() -> None:
    rig = Rig(pool_config(pool='open = "all"'))
    rig.want("a", range(1, 7))
    rig.turn()
    token, source = 1, rig.pool.placement[1]
    target = (source + 1) % 3
    before = rig.world.tables[source][token]
    rig.world.mute = {target}
    rig.move(token, source, target)
    rig.turn(1.0)
    assert token in rig.world.tables[source] and token in rig.world.tables[target]
    now = rig.world.tables[target][token]
    assert now.owner_epoch > before.owner_epoch
    assert now == before._replace(owner_epoch=now.owner_epoch)
    assert rig.pool.placement[token] == source
    rig.check()
    rig.world.mute = set()
    rig.turn()
    assert token not in rig.world.tables[source] and token in rig.world.tables[target]
    assert rig.pool.placement[token] == target
    assert rig.pool.counters.moves_done == 1
    rig.check()


def test_a_move_without_a_first_packet_is_given_up() -> None:
    rig, source, target = _three("confirm_after_s = 0.5")
    rig.world.mute = {target}
    rig.move(1, source, target)
    rig.turn(1.0)
    assert rig.pool.placement[1] == source and 1 not in rig.world.tables[target]
    assert rig.pool.counters.moves_failed == 1
    rig.check()


def test_a_first_packet_of_before_the_move_is_none() -> None:
    rig, source, target = _three()
    rig.world.written_ns[target, 1] = rig.world.now_ns - 1
    rig.world.write = lambda link: False  # type: ignore[method-assign]
    rig.move(1, source, target)
    rig.turn(0.2)
    assert 1 in rig.pool.moves.under_way


def test_who_unsubscribes_in_the_middle_of_a_move_leaves_both() -> None:
    rig, source, target = _three()
    rig.world.mute = {target}
    rig.move(1, source, target)
    rig.turn(0.1)
    rig.pool.ledger.remove("a", [1])
    rig.turn(0.1)
    assert not any(1 in rows for rows in rig.world.tables.values())
    assert not rig.pool.moves.under_way
    rig.check()


def test_a_new_control_process_adopts_and_removes_nothing() -> None:
    rig = Rig(pool_config())
    rig.want("a", range(1, 101), Mode.FULL)
    rig.turn()
    tables = {number: dict(rows) for number, rows in rig.world.tables.items()}
    again = Rig(rig.config, rig.world)
    again.turn(59.0)
    assert again.world.tables == tables
    again.want("a", range(1, 51), Mode.FULL)
    again.turn(2.0)
    assert set(again.world.tables[0]) == set(range(1, 51))
    assert again.world.tables[0] == {t: tables[0][t] for t in range(1, 51)}
    assert ADOPTED not in again.pool.ledger.clients
    again.check()


def test_a_move_under_way_is_adopted_too() -> None:
    rig, source, target = _three()
    rig.world.mute = {target}
    rig.move(1, source, target)
    rig.turn()
    again = Rig(rig.config, rig.world)
    assert again.pool.placement[1] == source and 1 in again.pool.moves.under_way
    again.world.mute = set()
    again.world.written_ns[target, 1] = again.world.now_ns
    again.turn()
    assert again.pool.placement[1] == target
    again.check()


def test_a_move_that_was_confirmed_before_the_restart_is_done_after_it() -> None:
    """Its first packet is not new to the new process, and no other needs come."""
    rig, source, target = _three("confirm_after_s = 1.0")
    rig.move(1, source, target)
    rig.pool.assigned.write()
    rig.world.step()
    again = Rig(rig.config, rig.world)
    assert 1 in again.pool.moves.under_way
    again.turn(2.0)
    assert again.pool.placement[1] == target and not again.pool.moves.under_way
    assert (again.pool.counters.moves_done, again.pool.counters.moves_failed) == (1, 0)
    again.check()


def test_a_packet_of_a_time_before_confirms_no_adopted_move() -> None:
    """The target had the instrument once; what it received then is older than the source's."""
    rig, source, target = _three("confirm_after_s = 1.0")
    rig.world.mute = {target}
    rig.move(1, source, target)
    rig.turn(0.1)
    rig.world.mute = set()
    rig.world.written_ns[target, 1] = rig.world.written_ns[source, 1] - 1
    again = Rig(rig.config, rig.world)
    again.turn(2.0)
    assert again.pool.placement[1] == source and again.pool.counters.moves_failed == 1
    again.check()


def test_a_number_is_never_used_again_over_a_restart() -> None:
    rig = Rig(pool_config())
    rig.want("a", [1])
    rig.turn()
    again = Rig(rig.config, rig.world)
    again.want("a", range(1, 5000))
    again.turn()
    assert sorted(again.world.tables) == [0, 1]


def test_a_number_is_not_used_again_either_when_its_connection_is_gone() -> None:
    rig = Rig(pool_config())
    rig.want("a", [1])
    rig.turn()
    rig.pool.ledger.remove("a", [1])
    rig.pool.assigned.close(rig.pool.links[0])
    rig.turn()
    assert rig.world.topology == [] and not rig.pool.links
    again = Rig(rig.config, rig.world)
    again.pool.counters.connections_opened = rig.pool.counters.connections_opened  # by its page
    again.want("a", [2])
    again.turn()
    assert again.counts() == {1: 1}
    again.check()


def test_a_connection_that_never_came_is_forgotten() -> None:
    rig = Rig(pool_config())
    rig.world.refuses = True
    rig.want("a", [1])
    rig.turn()
    rig.pool.ledger.remove("a", [1])
    rig.pool.assigned.close(rig.pool.links[0])
    rig.turn(1.0)
    assert 0 in rig.pool.links  # it may be in the making
    rig.turn(2.0)
    assert not rig.pool.links and rig.world.topology == []


def test_a_connection_that_went_while_nobody_looked_is_forgotten() -> None:
    rig = Rig(pool_config())
    rig.want("a", [1])
    rig.turn()
    rig.pool.assigned.close(rig.pool.links[0])
    rig.pool.assigned.write()
    rig.world.step()
    assert not rig.world.tables
    again = Rig(rig.config, rig.world)
    again.turn(3.0)
    assert not again.pool.links and again.world.topology == []


def test_what_is_under_way_from_a_connection_that_closes_is_the_other_ones() -> None:
    rig = Rig(pool_config(pool='open = "all"'))
    rig.want("a", range(1, 31))
    rig.turn()
    source = rig.pool.placement[1]
    target = (source + 1) % 3
    rig.world.mute = {target}
    rig.move(1, source, target)
    rig.turn(0.04)
    rig.pool.assigned.close(rig.pool.links[source])
    rig.turn(1.0)
    assert rig.pool.placement[1] == target and not rig.pool.unplaced
    assert not rig.pool.moves.under_way
    rig.check()
    rig.pool.ledger.remove("a", range(1, 31))
    rig.turn()
    assert rig.pool.assigned.slots[0].free == 9000


def test_who_was_away_blames_nobody_for_the_time() -> None:
    rig = Rig(pool_config(pool='open = "all"'))
    rig.want("a", range(1, 31))
    rig.turn()
    before = dict(rig.pool.placement)
    rig.world.now_ns += 30 * NS_PER_S
    rig.world.down = {0}
    rig.turn(1.0)
    assert rig.pool.placement == before
    rig.turn(3.0)
    assert 0 not in rig.pool.placement.values()


def test_instruments_from_which_nothing_comes_leave_their_connection_well() -> None:
    rig = Rig(pool_config())
    rig.world.silent = {0, 1, 2}
    rig.want("a", [1])
    rig.turn(10.0)
    assert rig.counts() == {0: 1} and not rig.pool.orphans


def test_within_a_decoder_an_outage_costs_nobody_the_newest_tick() -> None:
    rig = Rig(pool_config(pool='open = "all"'))
    rig.want("a", range(1, 31))
    rig.turn()
    slots = {t: row.slot for rows in rig.world.tables.values() for t, row in rows.items()}
    rig.world.down = {0}
    rig.turn(4.0)
    assert 0 not in rig.pool.placement.values()
    rows = [row for number in (1, 2) for row in rig.world.tables[number].items()]
    assert {t: row.slot for t, row in rows} == slots
    rig.check()


def test_when_the_numbers_are_used_up_nothing_is_opened_any_more() -> None:
    rig = Rig(pool_config(pool=CAP_10))
    rig.want("a", range(1, 9))
    rig.turn()
    rig.pool.counters.connections_opened = 2**16
    rig.want("a", range(9, 14))
    rig.turn()
    assert rig.counts() == {0: 10}
    assert len(rig.pool.unplaced) == 3
    rig.check()


def test_without_a_slot_an_instrument_waits() -> None:
    rig = Rig(pool_config(pool="instruments_per_connection = 10"))
    for token in range(1000, 1029):
        rig.pool.assigned.slots[0].take(token, 0)
    rig.want("a", [1, 2])
    rig.turn()
    assert rig.counts() == {0: 1} and list(rig.pool.unplaced.values()) == [Why.CAPACITY]
    rig.pool.assigned.slots[0].give_back(1000)
    rig.turn(2.0)
    assert not rig.pool.unplaced
    rig.check()


def test_two_keys_carry_what_one_cannot() -> None:
    rig = Rig(pool_config(keys=2, pool=CAP_10))
    rig.want("a", range(1, 61))
    rig.turn()
    assert sum(rig.counts().values()) == 60
    by_account = {row.number: row.account for row in rig.world.topology}
    assert sorted(by_account.values()) == [0, 0, 0, 1, 1, 1]
    rig.check()


@pytest.mark.parametrize("seed", range(20))
def test_random_wishes_outages_and_restarts_lose_nothing(seed: int) -> None:
    draw = random.Random(seed)
    world = World()
    config = pool_config(
        keys=2, pool=f"redistribute_after_s = 0.2\nconfirm_after_s = 0.5\n{CAP_10}"
    )
    rig = Rig(config, world)
    for _ in range(60):
        match draw.randrange(8):
            case 0:
                world.down = {n for n in world.tables if draw.random() < 0.3}
            case 1:
                world.mute = {n for n in world.tables if draw.random() < 0.3}
            case 2:
                _move_one(rig.pool, draw, world.now_ns)
            case 3:
                rig = Rig(config, world)
            case 4 | 5:
                client = draw.choice("abc")
                rig.pool.ledger.join(client)
                rig.pool.ledger.remove(client, draw.sample(range(1, 71), 20))
            case _:
                mode = draw.choice([Mode.LTP, Mode.FULL])
                rig.want(draw.choice("abc"), draw.sample(range(1, 71), 15), mode)
        rig.turn(draw.choice([0.02, 0.1, 0.5]))
        rig.turn(0.04)
        rig.check()


def _move_one(pool: Pool, draw: random.Random, now_ns: int) -> None:
    movable = [t for t in pool.placement if t not in pool.moves.under_way]
    if not movable:
        return
    token = draw.choice(movable)
    source = pool.placement[token]
    targets = [
        link for link in pool.links.values()
        if link.number != source and link.takes_more and len(link.rows) < link.capacity
    ]  # fmt: skip
    if targets:
        move = Move(token, source, draw.choice(targets).number)
        pool.moves.begin(move, pool.ledger.desired[token], now_ns)
