"""The pool's shape: it grows, shrinks, drains, recycles and returns to its balance."""

from __future__ import annotations

import pytest

from pipeline.services.control.upkeep import CannotBeDone
from tests.services.control.world import Rig, pool_config

CAP_100 = "instruments_per_connection = 100"
ALL = 'open = "all"\nheadroom = 0.0\nshrink_after_s = 0.0'


def _rig(pool: str, **options: int) -> Rig:
    return Rig(pool_config(pool=f"{CAP_100}\n{pool}", **options))


def test_a_connection_is_opened_before_the_others_are_full() -> None:
    rig = _rig("headroom = 0.05")
    rig.want("a", range(1, 90))
    rig.turn(2.0)
    assert rig.counts() == {0: 89}
    rig.want("a", range(90, 98))
    rig.turn(2.0)
    assert rig.counts() == {0: 97, 1: 0}
    rig.check()


def test_keys_that_are_nearly_full_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    rig = _rig("headroom = 0.0")
    rig.want("a", range(1, 240))
    rig.turn(3.0)
    assert "that the keys allow" not in caplog.text
    rig.want("a", range(240, 242))
    rig.turn(3.0)
    rig.want("a", range(242, 260))
    rig.turn(3.0)
    assert caplog.text.count("241 of the 300 instruments that the keys allow") == 1
    assert caplog.text.count("that the keys allow") == 1


def test_what_was_not_needed_for_long_is_closed_one_by_one() -> None:
    rig = _rig("headroom = 0.0\nshrink_after_s = 5.0")
    rig.want("a", range(1, 301))
    rig.turn(1.0)
    for rows in list(rig.world.tables.values()):
        rig.pool.ledger.remove("a", list(rows)[10:])
    rig.turn(4.0)
    assert rig.counts() == {0: 10, 1: 10, 2: 10}
    rig.turn(30.0)
    assert list(rig.counts().values()) == [30]
    rig.pool.ledger.forget("a")
    rig.turn(30.0)
    assert rig.counts() == {} and rig.world.topology == []


def test_warm_connections_are_kept_and_used() -> None:
    rig = _rig("warm_connections = 2\nshrink_after_s = 3.0")
    rig.turn(2.0)
    assert rig.counts() == {0: 0, 1: 0}
    rig.turn(10.0)
    assert rig.counts() == {0: 0, 1: 0}
    rig.want("a", [1])
    rig.turn(2.0)
    assert sum(rig.counts().values()) == 1 and len(rig.counts()) == 3


def test_the_balance_returns_after_the_outage_and_not_at_once() -> None:
    rig = _rig(f"{ALL}\nredistribute_after_s = 0.5\nrebalance_after_s = 5.0\nmoves_per_s = 10")
    rig.want("a", range(1, 61))
    rig.turn(8.0)
    rig.world.down = {1}
    rig.turn(2.0)
    assert rig.counts() == {0: 30, 1: 0, 2: 30}
    rig.world.down = set()
    rig.turn(4.0)
    assert rig.counts()[1] == 0
    rig.turn(1.5)
    assert 0 < rig.counts()[1] < 20  # so many in a second
    rig.turn(5.0)
    assert rig.counts() == {0: 20, 1: 20, 2: 20}
    assert rig.pool.counters.moves_broken == 0
    rig.check()


def test_who_comes_and_goes_gets_nothing_back() -> None:
    rig = _rig(f"{ALL}\nredistribute_after_s = 0.5\nrebalance_after_s = 5.0")
    rig.want("a", range(1, 31))
    rig.turn(8.0)
    for _ in range(5):
        rig.world.down = {1}
        rig.turn(1.5)
        rig.world.down = set()
        rig.turn(3.0)
    assert rig.counts()[1] == 0 and rig.pool.counters.moves_begun == 10  # away, and none back


def test_draining_moves_everything_and_closes() -> None:
    rig = _rig(ALL)
    rig.want("a", range(1, 61))
    rig.turn()
    assert rig.pool.upkeep.drain(1) == 20
    rig.turn(3.0)
    assert rig.counts() == {0: 30, 2: 30}
    assert rig.pool.counters.moves_done == 20
    rig.check()


def test_a_drain_goes_on_under_a_new_control_process() -> None:
    rig = _rig(f"{ALL}\nmoves_per_s = 5")
    rig.want("a", range(1, 61))
    rig.turn()
    rig.pool.upkeep.drain(1)
    rig.turn(0.5)
    assert 0 < rig.counts()[1] < 20
    again = Rig(rig.config, rig.world)
    assert again.pool.links[1].draining and not again.pool.links[1].takes_more
    again.turn(6.0)
    assert again.counts() == {0: 30, 2: 30}
    again.check()


def test_a_successor_that_fills_up_does_so_under_a_new_control_process() -> None:
    rig = _rig("headroom = 0.0\nmoves_per_s = 5")
    rig.want("a", range(1, 21))
    rig.turn()
    rig.pool.upkeep.recycle(0)
    rig.turn(1.5)
    assert rig.counts().keys() == {0, 1}
    again = Rig(rig.config, rig.world)
    assert again.pool.links[0].drain_to == (1,)
    again.turn(6.0)
    assert again.counts() == {1: 20}
    again.check()


def test_what_the_others_have_no_room_for_cannot_be_drained() -> None:
    rig = _rig(ALL)
    rig.want("a", range(1, 271))
    rig.turn()
    with pytest.raises(CannotBeDone, match="the others have room for 20"):
        rig.pool.upkeep.drain(1)
    rig.turn(3.0)
    assert rig.counts() == {0: 90, 1: 90, 2: 90}


def test_a_connection_is_replaced_without_a_break_where_there_is_room() -> None:
    rig = _rig('policy = "first_fit"\nheadroom = 0.0')
    rig.want("a", range(1, 51))
    rig.turn()
    rig.pool.upkeep.recycle(0)
    rig.turn(3.0)
    assert rig.counts() == {1: 50}
    assert [row.seat for row in rig.world.topology] == [0]
    assert rig.pool.counters.moves_done == 50 and rig.pool.counters.moves_broken == 0
    rig.check()


def test_and_with_one_where_there_is_none() -> None:
    rig = _rig(ALL)
    rig.want("a", range(1, 301))
    rig.turn()
    before = {row.seat for row in rig.world.topology if row.number == 1}
    rig.pool.upkeep.recycle(1)
    rig.turn(4.0)
    assert rig.counts() == {0: 100, 2: 100, 3: 100}
    assert {row.seat for row in rig.world.topology if row.number == 3} == before
    assert rig.pool.unplaced == {}
    rig.check()


def test_an_old_connection_is_replaced() -> None:
    rig = _rig('policy = "first_fit"\nheadroom = 0.0\nrecycle_after_s = 10.0')
    rig.want("a", range(1, 51))
    rig.turn(9.0)
    assert rig.counts() == {0: 50}
    rig.turn(4.0)
    assert rig.counts() == {1: 50}


def test_an_outage_is_no_reason_to_replace_a_connection() -> None:
    rig = _rig(ALL + "\nrebalance_after_s = 2.0")
    rig.want("a", range(1, 151))
    rig.turn()
    rig.world.down, rig.pool.scores = {0}, {0: 0.0}
    rig.turn(6.0)
    assert rig.counts() == {0: 0, 1: 75, 2: 75}
    rig.world.down, rig.pool.scores = set(), {}
    rig.turn(5.0)
    assert rig.counts() == {0: 50, 1: 50, 2: 50}
    rig.check()


def test_a_connection_that_is_up_and_unwell_is_replaced() -> None:
    rig = _rig('policy = "first_fit"\nheadroom = 0.0')
    rig.want("a", range(1, 51))
    rig.turn()
    rig.pool.scores = {0: 30.0}
    rig.turn(6.0)
    assert rig.counts() == {1: 50}
    rig.check()


def test_scaling_by_hand() -> None:
    rig = _rig("headroom = 0.0\nshrink_after_s = 2.0")
    rig.want("a", range(1, 31))
    rig.turn()
    assert rig.pool.upkeep.scale(3, rig.world.now_ns) == 2
    rig.turn(10.0)
    assert len(rig.counts()) == 3
    assert rig.pool.upkeep.scale(1, rig.world.now_ns) == -2
    rig.turn(10.0)
    assert list(rig.counts().values()) == [30]
    with pytest.raises(CannotBeDone, match="0 to 3 are allowed"):
        rig.pool.upkeep.scale(4, rig.world.now_ns)
    rig.check()


def test_scaling_that_cannot_be_done_closes_nothing() -> None:
    rig = _rig(ALL)
    rig.want("a", range(1, 151))
    rig.turn()
    with pytest.raises(CannotBeDone, match="no room for 50"):
        rig.pool.upkeep.scale(1, rig.world.now_ns)
    assert not any(link.draining for link in rig.pool.links.values())
    rig.turn(3.0)
    assert rig.counts() == {0: 50, 1: 50, 2: 50}


def test_all_of_an_account_are_replaced_one_after_the_other() -> None:
    rig = _rig("headroom = 0.0\nmoves_per_s = 1000", keys=2)
    rig.want("t", range(1, 251))
    rig.turn()
    before = {number: link.account for number, link in rig.pool.links.items()}
    own = {number for number, account in before.items() if account == "a"}
    assert len(own) == 2 and len(before) == 4
    assert sorted(rig.pool.upkeep.recycle_account("a")) == sorted(own)
    for _ in range(500):
        rig.turn(0.02)
        going = [n for n, link in rig.pool.links.items() if link.draining or not link.wanted]
        assert len(going) <= 1 and set(going) <= own
    assert rig.counts().keys() & before.keys() == before.keys() - own
    assert len(rig.counts()) == 4 and sum(rig.counts().values()) == 250
    with pytest.raises(CannotBeDone, match="known: a, b"):
        rig.pool.upkeep.recycle_account("c")
    assert not rig.pool.upkeep.recycle_asked
    rig.check()


def test_a_connection_that_cannot_be_emptied_any_more_takes_more_again() -> None:
    rig = _rig(ALL + "\nmoves_per_s = 1")
    rig.want("a", range(1, 181))
    rig.turn()
    rig.pool.upkeep.drain(1)
    rig.want("a", range(181, 241))
    rig.turn(3.0)
    assert not rig.pool.links[1].draining
    rig.want("a", range(241, 301))
    rig.turn(3.0)
    assert not rig.pool.unplaced and rig.counts() == {0: 100, 1: 100, 2: 100}
    rig.check()


def test_what_drains_into_a_connection_that_is_gone_goes_elsewhere() -> None:
    rig = _rig(ALL)
    rig.want("a", range(1, 31))
    rig.turn()
    link = rig.pool.links[0]
    link.draining, link.drain_to = True, (77,)
    rig.turn(3.0)
    assert sum(rig.counts().values()) == 30 and 0 not in rig.counts()
    rig.check()


def test_what_does_not_exist_is_named() -> None:
    rig = _rig(ALL)
    rig.want("a", [1])
    rig.turn()
    for act in (rig.pool.upkeep.drain, rig.pool.upkeep.recycle):
        with pytest.raises(CannotBeDone, match="there are: 0, 1, 2"):
            act(7)
