"""Mirroring in the pool: two connections of one decoder, always, and at nobody's cost."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pipeline.core.enums import Mode, State
from pipeline.planning.pool import Priority, Want, Why
from pipeline.services.control.pool import ADOPTION_NS
from pipeline.services.control.results import plan_document
from tests.services.control.world import Rig, pool_config

ROOMY = "instruments_per_connection = 40\nheadroom = 0.0\nredistribute_after_s = 0.3"
FOUR = "mirror = [1, 2, 3, 4]"


def rig_of(pool: str = ROOMY, *, keys: int = 1, mirror: str = FOUR, more: str = "") -> Rig:
    return Rig(pool_config(keys=keys, pool=f"{pool}\n{mirror}", more=more))


def halves(rig: Rig) -> dict[int, tuple[int, int]]:
    """Return {token: (owner, second)} of what is mirrored."""
    owners = rig.pool.placement
    return {token: (owners[token], n) for token, n in rig.pool.assigned.mirrors.items()}


def single(rig: Rig) -> int:
    return rig.pool.mirrors.single


def test_what_is_named_is_on_two_connections_while_it_is_wanted() -> None:
    rig = rig_of()
    rig.want("a", range(1, 11))
    rig.turn()
    assert rig.counts() == {0: 10, 1: 4} and rig.mirrored().keys() == {1, 2, 3, 4}
    assert single(rig) == 0 and not rig.pool.mirrors.refused
    slots = {(token, rows[token].slot) for rows in rig.world.tables.values() for token in (1, 2)}
    assert len(slots) == 2  # one slot each, whichever connection
    rig.pool.ledger.remove("a", [1, 2, 9])
    rig.turn()
    assert rig.mirrored().keys() == {3, 4} and rig.counts() == {0: 7, 1: 2}
    rig.check()


def test_so_is_a_class_and_a_mode_holds_for_both() -> None:
    rig = rig_of(mirror='mirror_priority = "hot"')
    rig.pool.ledger.join("a")
    wants = {t: Want(t, Mode.LTP, Priority(t % 4)) for t in range(8)}
    rig.pool.ledger.add("a", wants)
    rig.turn()
    assert rig.mirrored().keys() == {2, 3, 6, 7}
    rig.pool.ledger.add("a", {t: Want(t, Mode.FULL, Priority.COLD) for t in (2, 3)})
    rig.pool.ledger.add("a", {t: Want(t, Mode.FULL, Priority.HOT) for t in (6, 7)})
    rig.turn()
    assert rig.mirrored().keys() == {6, 7}
    assert {rows[6].mode for rows in rig.world.tables.values() if 6 in rows} == {Mode.FULL}
    rig.check()


def test_a_dry_run_says_where_both_would_go() -> None:
    rig = rig_of(f"{ROOMY}\nconnections_per_key = 2")
    wants = {token: Want(token) for token in range(1, 51)}
    plan = rig.pool.plan(wants, all_or_nothing=True)
    found = plan_document(plan, rig.pool.mirrors.foresee(wants, plan, rig.pool.view(ideal=True)))
    assert [new["instruments"] for new in found["opened"]] == [40, 10]
    (opened,) = found["mirrors"]["opened"]
    assert (opened["seat"], opened["instruments"]) == (1, 4) and not found["mirrors"]["refused"]
    wants = {token: Want(token) for token in range(11, 51)}
    plan = rig.pool.plan(wants, all_or_nothing=True)
    found = plan_document(plan, rig.pool.mirrors.foresee(wants, plan, rig.pool.view(ideal=True)))
    assert "mirrors" not in found and rig.counts() == {}


def test_the_second_is_of_another_key_if_there_is_one() -> None:
    rig = rig_of(keys=2)
    rig.want("a", [1])
    rig.turn()
    assert {rig.pool.links[n].account for n in halves(rig)[1]} == {"a", "b"}


def test_a_failure_writes_no_table_and_its_end_none() -> None:
    rig = rig_of(ROOMY.replace("0.3", "3"))
    rig.want("a", range(1, 5))
    rig.turn(1.0)
    writes, owner = rig.world.writes, halves(rig)[1][0]
    rig.world.down = {owner}
    rig.turn(1.0)
    assert halves(rig)[1][1] == owner and single(rig) == 4
    assert not rig.pool.orphans
    rig.world.down = set()
    rig.turn(1.0)
    assert rig.world.writes == writes and single(rig) == 0
    rig.check()


def test_a_half_that_does_not_come_back_goes_to_a_third_connection() -> None:
    rig = rig_of()
    rig.want("a", range(1, 5))
    rig.turn()
    rig.world.down = {0}
    rig.turn(2.0)
    assert {frozenset(pair) for pair in halves(rig).values()} == {frozenset({1, 2})}
    assert rig.counts() == {0: 0, 1: 4, 2: 4} and single(rig) == 0
    rig.check()


def test_without_a_third_it_waits_and_that_is_told() -> None:
    rig = rig_of(f"{ROOMY}\nconnections_per_key = 2")
    rig.want("a", range(1, 5))
    rig.turn()
    rig.world.down = {1}
    rig.turn(2.0)
    assert rig.counts() == {0: 4, 1: 4}
    assert rig.pool.mirrors.refused == dict.fromkeys(range(1, 5), Why.NO_CONNECTION)
    rig.world.down = set()
    rig.turn(2.0)
    assert not rig.pool.mirrors.refused and single(rig) == 0
    rig.check()


def test_both_fail_and_all_goes_elsewhere() -> None:
    rig = rig_of()
    rig.want("a", range(1, 5))
    rig.turn()
    rig.world.down = {0, 1}
    rig.turn(2.0)
    assert set(rig.pool.placement.values()) == {2} and not rig.pool.orphans
    rig.world.down = {1}
    rig.turn(2.0)
    assert {frozenset(pair) for pair in halves(rig).values()} == {frozenset({0, 2})}
    rig.check()


def test_it_costs_nobody_the_only_place() -> None:
    rig = rig_of("instruments_per_connection = 10\nheadroom = 0.0\nconnections_per_key = 2")
    rig.want("a", range(1, 17))
    rig.turn()
    assert len(rig.mirrored()) == 4 and sum(rig.counts().values()) == 20
    plan = rig.pool.plan({t: Want(t) for t in range(17, 21)}, all_or_nothing=True)
    assert plan.available == 4 and not plan.refused
    rig.want("a", range(17, 20))
    rig.turn(1.5)
    assert len(rig.mirrored()) == 1 and not rig.pool.unplaced
    assert set(rig.pool.mirrors.refused.values()) == {Why.CAPACITY}
    rig.check()
    rig.pool.ledger.remove("a", range(5, 20))
    rig.turn(1.5)
    assert len(rig.mirrored()) == 4
    rig.check()


def test_a_lower_limit_takes_second_halves_first() -> None:
    rig = rig_of("instruments_per_connection = 40\nheadroom = 0.0\nconnections_per_key = 2")
    rig.want("a", range(1, 11))
    rig.turn()
    second = rig.pool.links[1]
    second.capacity = 3
    rig.turn(0.1)
    assert len(rig.mirrored()) == 3 and rig.pool.placement.keys() == set(range(1, 11))
    rig.check()


def test_an_outage_of_others_takes_their_room() -> None:
    pool = (
        'instruments_per_connection = 10\nopen = "all"\nheadroom = 0.0\nredistribute_after_s = 1.0'
    )
    rig = rig_of(pool, mirror="mirror = [1, 2, 3, 4, 5, 6, 7, 8]")
    rig.want("a", range(1, 21))
    rig.turn(1.0)
    assert len(rig.mirrored()) == 8
    rig.world.down = {0}
    rig.turn(4.0)
    assert not rig.pool.orphans and set(rig.pool.placement.values()) == {1, 2}
    rig.check()


def test_a_connection_that_drains_hands_its_halves_on_before_it_closes() -> None:
    rig = rig_of()
    rig.want("a", range(1, 5))
    rig.turn()
    rig.pool.upkeep.drain(0)
    fewest = 2
    while 0 in rig.pool.links:
        rig.turn(0.02)
        fewest = min(fewest, *(len(rig.mirrored().get(t, "1")) for t in range(1, 5)))
        assert rig.world.now_ns < 2_000_000_000_000
    assert fewest == 2
    rig.turn()
    assert {frozenset(pair) for pair in halves(rig).values()} == {frozenset({1, 2})}
    assert rig.pool.counters.moves_failed == 0
    rig.check()


def test_one_that_drains_with_no_third_lets_go_and_closes() -> None:
    rig = rig_of(f"{ROOMY}\nconnections_per_key = 2")
    rig.want("a", range(1, 5))
    rig.turn()
    rig.pool.upkeep.recycle(0)
    rig.turn(8.0)
    assert {frozenset(pair) for pair in halves(rig).values()} == {frozenset({1, 2})}
    assert not rig.pool.unplaced
    rig.check()


def test_a_half_of_what_a_closing_connection_carries_tells_the_gap() -> None:
    """Asked for in the very turn in which the connection that has it goes, to no room elsewhere."""
    pool = "instruments_per_connection = 4\nheadroom = 0.0\nconnections_per_key = 2"
    rig = rig_of(pool, mirror="mirror_priority = 'hot'")
    rig.want("a", range(1, 7))
    rig.turn(1.0)
    owner = rig.pool.placement[1]
    rig.pool.upkeep.recycle(owner)
    rig.pool.ledger.add("a", {1: Want(1, Mode.QUOTE, Priority.HOT)})
    ticks_ns = rig.world.now_ns
    rig.turn(0.02)
    assert not rig.pool.links[owner].wanted
    while not (left := rig.world.left_of(1)):
        rig.turn(0.02)
    assert owner not in left and min(left.values()) >= ticks_ns
    rig.turn(3.0)
    assert len(rig.mirrored()) == 1 and not rig.pool.unplaced
    rig.check()


def test_what_a_half_has_received_is_decoded_before_it_goes() -> None:
    rig = rig_of()
    rig.want("a", [1])
    rig.turn(1.0)
    owner, second = halves(rig)[1]
    rig.world.silent, rig.world.undecoded = {second}, {second}
    rig.pool.mirrors.wished.clear()
    rig.turn(4.0)
    assert halves(rig) == {1: (owner, second)}
    rig.world.undecoded = set()
    rig.turn(0.1)
    assert halves(rig) == {} and rig.pool.placement == {1: owner}
    rig.check()


@pytest.mark.parametrize("keys", [1, 2])
def test_a_pool_that_shrinks_keeps_two_connections_for_it(keys: int) -> None:
    rig = rig_of(f"{ROOMY}\nshrink_after_s = 1", keys=keys)
    rig.want("a", range(1, 5))
    rig.turn(6.0)
    assert rig.counts() == {0: 4, 1: 4}
    assert rig.pool.counters.connections_opened == 2
    rig.pool.ledger.remove("a", range(1, 5))
    rig.turn(6.0)
    assert rig.counts() == {}


def test_nor_does_it_close_what_has_to_be_opened_again() -> None:
    rig = rig_of("instruments_per_connection = 10\nheadroom = 0.0\nshrink_after_s = 1", keys=2)
    rig.want("a", range(1, 21))  # on two of one key, or of both
    rig.turn(8.0)
    opened = rig.pool.counters.connections_opened
    rig.pool.ledger.remove("a", range(5, 19))
    rig.turn(10.0)
    fewer = rig.pool.counters.connections_opened
    rig.turn(20.0)
    assert rig.pool.counters.connections_opened == fewer <= opened + 1
    assert len(rig.mirrored()) == 4 and single(rig) == 0
    rig.check()


def test_a_rebalance_never_joins_the_halves() -> None:
    rig = rig_of(
        f'{ROOMY}\nopen = "all"\nrebalance_after_s = 0.5', mirror="mirror_priority = 'hot'"
    )
    rig.pool.ledger.join("a")
    rig.pool.ledger.add("a", {t: Want(t, Mode.QUOTE, Priority(t % 4)) for t in range(30)})
    rig.turn(2.0)
    for number in (0, 1, 2):
        rig.world.down = {number}
        rig.turn(2.0)
        rig.check()
        rig.world.down = set()
        rig.turn(3.0)
        rig.check()
        assert single(rig) == 0
    assert rig.mirrored().keys() == rig.pool.mirrors.wished


def test_decoders_that_are_apart_are_not_mixed() -> None:
    rig = rig_of(f'{ROOMY}\nopen = "all"', keys=2, more="[decoder]\ncount = 2")
    rig.want("a", range(1, 21))
    rig.turn(1.0)
    assert len(rig.mirrored()) == 4
    rig.check()
    decoder = {n for n, link in rig.pool.links.items() if link.decoder == 0}
    rig.world.down = decoder
    rig.turn(4.0)
    assert not rig.pool.orphans
    rig.check()


def test_the_connections_of_one_decoder_carry_what_their_keys_do() -> None:
    """As they drain and have second halves, most of them may come to one decoder."""
    pool = "instruments_per_connection = 4\nheadroom = 0.0\nconnections_per_key = 2"
    rig = rig_of(pool, keys=2, mirror="mirror = [9, 12]", more="[decoder]\ncount = 2")
    rig.want("a", [4, 5, 12])
    rig.turn(0.5)
    rig.want("a", [1, 6, 7, 13, 14])
    rig.pool.upkeep.drain(0)
    rig.turn(0.1)
    for number in list(rig.pool.links):
        if rig.pool.links[number].decoder == 1:
            rig.pool.assigned.drain(rig.pool.links[number], None)
    rig.want("a", [9, 11])
    rig.turn(2.0)
    rig.want("a", [2, 3, 8, 10, 15, 16])
    rig.turn(10.0)
    assert not rig.pool.unplaced and not any(link.draining for link in rig.pool.links.values())
    rig.check()


def test_a_broker_that_takes_less_costs_the_second_half_and_no_first() -> None:
    rig = rig_of("instruments_per_connection = 40\nheadroom = 0.0\nconnections_per_key = 2")
    rig.want("a", range(1, 9))
    rig.turn(1.0)
    rig.world.limit = 8
    rig.want("a", range(11, 16))
    rig.turn(4.0)
    assert not rig.pool.unplaced and rig.pool.ledger.desired.keys() == rig.pool.placement.keys()
    rig.check()


def restarted(rig: Rig, clients: Iterable[int] = ()) -> Rig:
    again = Rig(rig.config, rig.world)
    if clients:
        again.want("a", clients)
    return again


def test_a_successor_takes_a_mirror_for_no_move() -> None:
    rig = rig_of()
    rig.want("a", range(1, 5))
    rig.turn(1.0)
    before = halves(rig)
    for _ in range(3):
        rig = restarted(rig)
        assert not rig.pool.moves.under_way and halves(rig) == before
        rig.turn(5.0)  # nobody has come back yet
        assert halves(rig) == before
    rig.want("a", range(1, 5))
    rig.turn(ADOPTION_NS / 1e9 + 1)
    assert halves(rig) == before
    rig.check()


def test_nor_one_by_class_before_its_clients_have_come_back() -> None:
    rig = rig_of(mirror='mirror_priority = "critical"')
    rig.pool.ledger.join("a")
    rig.pool.ledger.add("a", {t: Want(t, Mode.FULL, Priority.CRITICAL) for t in (1, 2)})
    rig.turn(1.0)
    before = halves(rig)
    again = restarted(rig)
    again.turn(10.0)
    assert halves(again) == before and len(before) == 2
    again.want("a", (1, 2))  # and now as any other
    again.turn(ADOPTION_NS / 1e9 + 1)
    assert halves(again) == {}
    again.check()


def test_nor_a_move_for_a_mirror() -> None:
    rig = rig_of(f'{ROOMY}\nopen = "all"', mirror="mirror = [1]")
    rig.want("a", [1, 2])
    rig.turn(1.0)
    source = rig.pool.placement[2]
    target = next(n for n in (0, 1, 2) if n != source)
    rig.world.mute = {target}
    rig.move(2, source, target)
    rig.turn(0.1)
    again = restarted(rig)
    assert again.pool.moves.under_way.keys() == {2} and halves(again).keys() == {1}
    rig.world.mute = set()
    again.turn(2.0)
    assert again.pool.placement[2] == target and again.mirrored().keys() == {1}


def test_a_mirrored_one_that_moves_is_found_on_all_three() -> None:
    rig = rig_of(f'{ROOMY}\nopen = "all"', mirror="mirror = [1]")
    rig.want("a", [1])
    rig.turn(1.0)
    owner, second = halves(rig)[1]
    third = next(n for n in (0, 1, 2) if n not in (owner, second))
    rig.world.mute = {third}
    rig.move(1, owner, third)
    rig.turn(0.1)
    again = restarted(rig)
    assert halves(again) == {1: (owner, second)}
    assert again.pool.moves.under_way[1].target == third
    rig.world.mute = set()
    again.turn(2.0)
    assert halves(again) == {1: (third, second)} and again.mirrored() == {1: {second, third}}
    again.check()


@pytest.mark.parametrize("state", [State.LIMITED, State.AUTH_EXPIRED])
def test_a_key_s_failure_leaves_the_other_s_half(state: State) -> None:
    rig = rig_of(keys=2)
    rig.want("a", range(1, 5))
    rig.turn(1.0)
    barred = [n for n, link in rig.pool.links.items() if link.account == "a"]
    rig.world.barred = dict.fromkeys(barred, state)
    rig.turn(0.1)
    assert not set(rig.pool.placement.values()) & set(barred) and not rig.pool.orphans
    rig.turn(4.0)
    assert single(rig) == 0  # on two of the other key
    rig.check()
