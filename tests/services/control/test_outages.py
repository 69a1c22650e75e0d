"""What the pool does when connections and whole keys fail: who moves where, and who comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from pipeline.core.enums import Mode, State
from pipeline.planning.pool import Move, Priority, Want
from tests.services.control.world import Rig, pool_config

SMALL = "instruments_per_connection = 10\nheadroom = 0.0\nredistribute_after_s = 1.0"
BARRED = pytest.mark.parametrize("state", [State.LIMITED, State.AUTH_EXPIRED])


def by_account(rig: Rig) -> dict[str, int]:
    """Return how many instruments each account owns."""
    links = rig.pool.links
    return dict(Counter(links[number].account for number in rig.pool.placement.values()))


def bar(rig: Rig, account: str, state: State) -> None:
    """Refuse every handshake of an account from now on."""
    numbers = [n for n, link in rig.pool.links.items() if link.account == account]
    rig.world.barred = dict.fromkeys(numbers, state)


@BARRED
def test_a_key_that_cannot_connect_gets_nothing_more(state: State) -> None:
    rig = Rig(pool_config(keys=2, pool=SMALL))
    rig.want("a", range(1, 21))
    rig.turn(1.0)
    assert by_account(rig) == {"a": 10, "b": 10}
    bar(rig, "a", state)
    rig.turn(0.04)
    rig.want("a", range(21, 41))
    rig.turn(0.04)
    assert by_account(rig) == {"a": 10, "b": 30}
    assert not rig.pool.unplaced
    rig.check()


def test_an_attempt_is_no_recovery(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(pool_config(keys=2, pool=SMALL))
    rig.want("a", range(1, 21))
    rig.turn(1.0)
    for _ in range(3):
        bar(rig, "a", State.LIMITED)
        rig.turn(0.1)
        bar(rig, "a", State.CONNECTING)
        rig.turn(0.1)
    rig.want("a", range(21, 41))
    rig.turn(0.04)
    assert by_account(rig) == {"a": 10, "b": 30}
    assert caplog.text.count("account a is limited (429)") == 1
    bar(rig, "a", State.LIVE)
    rig.turn(0.04)
    assert rig.pool.links[0].takes_more


@BARRED
def test_what_it_carried_is_elsewhere_within_five_seconds(state: State) -> None:
    rig = Rig(pool_config(keys=2, pool="instruments_per_connection = 10\nheadroom = 0.0"))
    rig.want("a", range(1, 21))
    rig.turn(1.0)
    bar(rig, "a", state)
    rig.turn(5.0)
    assert by_account(rig) == {"b": 20} and not rig.pool.orphans
    rig.check()


def test_a_key_that_never_could_connect_is_given_up_as_soon() -> None:
    rig = Rig(pool_config(keys=2, pool="instruments_per_connection = 10\nheadroom = 0.0"))
    rig.world.barred = {0: State.LIMITED}  # the first to be opened, which is the first key's
    rig.want("a", range(1, 11))
    rig.turn(0.04)
    assert rig.pool.links[0].account == "a"
    rig.turn(5.0)
    assert by_account(rig) == {"b": 10}
    rig.check()


def test_what_subscribes_again_is_left_only_if_it_falls_again() -> None:
    """What it receives by then would be dropped, outside its gap, of a row that is taken away."""
    rig = Rig(pool_config(pool=SMALL))
    rig.want("a", range(1, 16))
    rig.turn(1.0)
    rig.world.down = {1}
    rig.turn(0.9)
    rig.world.subscribing = {1: rig.world.now_ns}
    rig.turn(0.5)
    assert rig.counts() == {0: 10, 1: 5} and not rig.pool.links[1].is_healthy
    rig.world.subscribing = {}
    rig.turn(0.1)
    assert rig.counts()[1] == 0 and rig.pool.links[1].is_down
    rig.check()


def test_a_failed_connection_keeps_what_no_other_has_ticked_yet() -> None:
    rig = _failing()
    assert rig.counts() == {0: 15, 1: 10, 2: 15} and len(rig.pool.orphans) == 10
    rig.world.mute = set()
    rig.turn(0.1)
    assert rig.counts() == {0: 15, 1: 0, 2: 15} and not rig.pool.orphans
    rig.check()


def test_who_comes_back_before_that_is_dropped_nothing() -> None:
    """It delivers what it receives until another one does, too, and is past that."""
    rig = _failing()
    rig.world.subscribing = {1: rig.world.now_ns}
    rig.world.silent = {1}
    rig.world.mute = set()
    rig.turn(1.0)
    assert rig.counts()[1] == 10
    rig.world.silent = set()
    rig.turn(0.1)
    assert rig.counts()[1] == 0 and rig.pool.counters.moves_done == 10
    rig.check()


def test_who_comes_back_keeps_what_never_ticks_elsewhere() -> None:
    rig = _failing()
    rig.world.down = set()
    rig.turn(1.0)
    assert rig.counts() == {0: 10, 1: 10, 2: 10} and rig.pool.counters.moves_failed == 10
    rig.check()


def test_what_never_ticks_elsewhere_goes_all_the_same_once_the_time_is_up() -> None:
    rig = _failing()
    rig.turn(1.0)
    assert rig.counts() == {0: 15, 1: 0, 2: 15} and rig.pool.counters.moves_done == 10
    rig.check()


def test_who_never_came_up_ends_no_gap() -> None:
    """Nor does it begin one: what ticks at last, on a third, says since when it did not."""
    rig = _apart()
    left_ns = rig.world.decoded_until(0)
    rig.world.down = {0, 1}
    rig.turn(1.5)
    assert rig.world.left_of(7) == {1: left_ns}
    rig.turn(3.0)
    assert rig.world.left_of(7) == {2: left_ns} and rig.world.report(2).state is State.LIVE
    rig.check()


def test_what_waits_for_a_connection_says_since_when_also_after_a_death() -> None:
    rig = _apart()
    left_ns = rig.world.decoded_until(0)
    rig.world.refuses = True
    rig.world.down = {0}
    rig.turn(1.5)
    assert not rig.world.left_of(7)
    again = Rig(rig.config, rig.world)
    rig.world.refuses = False
    again.turn(0.5)
    assert list(rig.world.left_of(7).values()) == [left_ns]
    again.check()


def test_what_two_decoders_have_as_their_writer_dies_one_lets_go() -> None:
    rig = _apart('open = "all"')
    before = dict(rig.world.tables[0])
    rig.pool.moves.begin(Move(7, 0, 1, break_before_make=True), Want(7, Mode.QUOTE), 0)
    rig.pool.assigned.write()
    rig.world.tables[0] = before
    again = Rig(rig.config, rig.world)
    again.turn(0.1)
    assert rig.world.left_of(7).keys() == {1} == {again.pool.placement[7]}
    assert rig.world.left_of(7)[1] > 0 and not again.pool.moves.under_way
    again.check()


def test_what_never_ticks_elsewhere_in_time_says_since_when_it_did_not() -> None:
    rig = _failing()
    until_ns = rig.world.decoded_until(1)
    rig.turn(1.0)
    moved = [row for n in (0, 2) for row in rig.world.tables[n].values() if row.left_mono_ns]
    assert len(moved) == 10 and {row.left_mono_ns for row in moved} == {until_ns}


def _apart(more: str = "") -> Rig:
    """Three connections at most, each with a decoder of its own, of which the first has 7."""
    pool = f'{SMALL}\npolicy = "first_fit"\n{more}'
    rig = Rig(pool_config(pool=pool, more="[decoder]\ncount = 3"))
    rig.want("a", [7])
    rig.turn(0.5)
    assert rig.counts()[0] == 1
    return rig


def test_a_pin_to_a_connection_that_is_gone_binds_nobody() -> None:
    rig = Rig(pool_config(pool=SMALL))
    rig.want("a", range(1, 11))
    rig.turn(1.0)
    rig.pool.upkeep.ask_for(2)
    rig.turn(1.0)
    rig.pool.upkeep.drain(0)
    rig.turn(3.0)
    assert 0 not in rig.pool.links
    rig.pool.ledger.add("a", {20: Want(20, Mode.LTP, connection=0)})
    rig.turn(1.0)
    assert not rig.pool.unplaced and rig.pool.links[rig.pool.placement[20]].number != 0
    rig.check()


def _failing() -> Rig:
    """Three connections, of which the second is down and the others say nothing new yet."""
    pool = f'{SMALL.replace("10", "20", 1)}\nopen = "all"\nconfirm_after_s = 1.0'
    rig = Rig(pool_config(pool=pool))
    rig.want("a", range(1, 31))
    rig.turn(1.0)
    rig.world.down, rig.world.mute = {1}, {0, 2}
    rig.turn(1.2)
    return rig


@BARRED
def test_the_balance_over_the_keys_returns_with_the_key(state: State) -> None:
    pool = f'{SMALL}\nopen = "all"\nrebalance_after_s = 2.0\nmoves_per_s = 1000'
    rig = Rig(pool_config(keys=2, pool=pool))
    rig.want("a", range(1, 31))
    rig.turn(4.0)
    assert by_account(rig) == {"a": 15, "b": 15}
    bar(rig, "a", state)
    rig.turn(3.0)
    assert by_account(rig) == {"b": 30}
    rig.world.barred = {}
    rig.turn(6.0)
    assert by_account(rig) == {"a": 15, "b": 15}
    assert rig.pool.counters.moves_broken == 0
    rig.check()


def _urgencies(rig: Rig) -> None:
    """Let a client want ten instruments of each class: 1..10 cold, ..., 31..40 critical."""
    rig.pool.ledger.join("a")
    wants = {token: Want(token, Mode.QUOTE, Priority((token - 1) // 10)) for token in range(1, 41)}
    rig.pool.ledger.add("a", wants)


def priorities(rig: Rig, tokens: Iterable[int]) -> dict[Priority, int]:
    """Return how many of the instruments are of each class."""
    return dict(Counter(rig.pool.ledger.desired[token].priority for token in tokens))


def _short_of_room(rig: Rig) -> None:
    _urgencies(rig)
    rig.turn(1.0)
    rig.world.refuses = True
    assert sorted(rig.counts().values()) == [13, 13, 14]


SHORT = 'instruments_per_connection = 15\nopen = "all"\nheadroom = 0.0\nredistribute_after_s = 1.0'


def test_the_most_urgent_find_room_first_and_the_rest_is_named() -> None:
    rig = Rig(pool_config(pool=f'{SHORT}\npolicy = "round_robin"'))
    _short_of_room(rig)
    lost = list(rig.world.tables[1])
    room = sum(15 - len(rows) for number, rows in rig.world.tables.items() if number != 1)
    rig.world.down = {1}
    rig.turn(2.0)
    left = list(rig.world.tables[1])
    assert len(left) == len(lost) - room and set(left) < set(lost)
    moved = [token for token in lost if token not in left]
    least = min(rig.pool.ledger.desired[token].priority for token in moved)
    assert all(rig.pool.ledger.desired[token].priority <= least for token in left)
    assert rig.pool.orphans == dict.fromkeys(left, 1)
    rig.check()


def test_they_get_their_place_first_when_there_is_room_again() -> None:
    rig = Rig(pool_config(pool=f'{SHORT}\npolicy = "round_robin"'))
    _short_of_room(rig)
    rig.world.down = {1}
    rig.turn(2.0)
    left = list(rig.world.tables[1])
    order = sorted(left, key=lambda token: -rig.pool.ledger.desired[token].priority)
    for freed in (2, 3):
        others = [t for t, number in rig.pool.placement.items() if number != 1]
        rig.pool.ledger.remove("a", others[:freed])
        rig.turn(2.0)
        order = order[freed:]
        expected = Counter(rig.pool.ledger.desired[token].priority for token in order)
        assert priorities(rig, rig.pool.orphans) == dict(expected)
        rig.check()
    rig.world.down = set()
    rig.turn(0.1)
    assert rig.pool.orphans == {}


def test_what_has_no_connection_at_all_waits_in_the_order_of_urgency() -> None:
    rig = Rig(pool_config(pool=f"{SMALL}\nconnections_per_key = 2"))
    _urgencies(rig)
    rig.turn(1.0)
    assert priorities(rig, rig.pool.placement) == {Priority.CRITICAL: 10, Priority.HOT: 10}
    assert rig.pool.orphans == dict.fromkeys(range(1, 21), -1)
    rig.pool.ledger.remove("a", range(31, 36))
    rig.turn(2.0)
    assert priorities(rig, rig.pool.orphans) == {Priority.WARM: 5, Priority.COLD: 10}
    rig.check()


def test_critical_ones_do_not_wait_for_the_grace() -> None:
    rig = Rig(pool_config(pool='open = "all"\nredistribute_after_s = 3.0'))
    _urgencies(rig)
    rig.turn(1.0)
    lost = list(rig.world.tables[1])
    rig.world.down = {1}
    rig.turn(0.1)
    assert priorities(rig, rig.world.tables[1]).keys() == set(Priority) - {Priority.CRITICAL}
    rig.turn(4.0)
    assert not rig.world.tables[1] and lost
    rig.check()
