"""Moves that wait, that are under way, and that make no sense any more."""

from __future__ import annotations

from pipeline.planning.pool import Move
from tests.services.control.world import Rig, pool_config

POOL = 'instruments_per_connection = 100\nopen = "all"\nheadroom = 0.0\nshrink_after_s = 0.0'


def _rig(more: str = "") -> Rig:
    rig = Rig(pool_config(pool=f"{POOL}\n{more}"))
    rig.want("a", range(1, 61))
    rig.turn()
    return rig


def _moves(rig: Rig, source: int, target: int) -> list[Move]:
    return [Move(token, source, target) for token in rig.world.tables[source]]


def test_no_more_begin_in_a_second_than_may() -> None:
    rig = _rig("moves_per_s = 5")
    assert rig.pool.moves.replace_waiting(_moves(rig, 0, 1)) == 20
    rig.turn(0.5)
    assert rig.counts()[0] == 15 and rig.pool.moves.waiting == 15
    rig.turn(4.0)
    assert rig.counts()[0] == 0 and rig.pool.moves.waiting == 0
    rig.check()


def test_what_makes_no_sense_any_more_is_passed_over() -> None:
    rig = _rig()
    moves = _moves(rig, 0, 1)
    rig.pool.ledger.remove("a", [moves[0].token])
    strange = [Move(999, 0, 1), Move(moves[1].token, 2, 1), Move(moves[2].token, 0, 9)]
    rig.pool.moves.replace_waiting([*strange, moves[0], moves[3], moves[3]])
    rig.turn(1.0)
    assert rig.pool.counters.moves_done == 1
    rig.check()


def test_a_source_goes_on_until_what_it_had_is_decoded() -> None:
    rig = _rig()
    rig.world.silent = {0}
    token = next(iter(rig.world.tables[0]))
    rig.pool.moves.replace_waiting([Move(token, 0, 1)])
    rig.turn(1.0)
    assert token in rig.world.tables[0] and rig.pool.placement[token] == 0
    rig.world.silent = set()
    rig.turn(0.1)
    assert token not in rig.world.tables[0] and rig.pool.placement[token] == 1
    rig.check()


def test_a_source_that_brings_nothing_is_not_waited_for_long() -> None:
    rig = _rig()
    rig.world.silent = {0}
    token = next(iter(rig.world.tables[0]))
    rig.pool.moves.replace_waiting([Move(token, 0, 1)])
    rig.turn(2.2)
    assert token not in rig.world.tables[0] and rig.pool.placement[token] == 1
    assert rig.pool.counters.moves_failed == 0
    rig.check()


def test_nothing_is_taken_away_that_waits_for_its_decoder() -> None:
    """Its decoder may be dead for as long as another one waits for its turn to be started."""
    rig = _rig("redistribute_after_s = 0.3")
    one, other = list(rig.world.tables[0])[:2]
    rig.world.silent = rig.world.undecoded = {0}
    rig.pool.moves.replace_waiting([Move(one, 0, 1)])
    rig.turn(3.0)
    assert one in rig.world.tables[0]
    rig.world.mute = {2}
    rig.pool.moves.replace_waiting([Move(other, 0, 2)])
    rig.turn(0.1)
    rig.world.down = {0}
    rig.turn(0.5)
    assert {one, other} <= rig.world.tables[0].keys()
    rig.world.mute = set()
    rig.turn(0.1)
    assert {one, other} <= rig.world.tables[0].keys()
    rig.world.undecoded = set()
    rig.turn(0.1)
    assert not rig.world.tables[0].keys() & {one, other}
    rig.check()


def test_a_full_target_gets_nothing() -> None:
    rig = Rig(pool_config(pool=f"{POOL}".replace("100", "20")))
    rig.want("a", range(1, 61))
    rig.turn()
    rig.pool.moves.replace_waiting(_moves(rig, 0, 1))
    rig.turn(1.0)
    assert rig.counts() == {0: 20, 1: 20, 2: 20}
    rig.check()


def test_between_decoders_the_source_lets_go_first() -> None:
    rig = Rig(pool_config(pool=POOL, more="[decoder]\ncount = 3"))
    rig.want("a", range(1, 61))
    rig.turn()
    token = next(iter(rig.world.tables[0]))
    rig.pool.moves.replace_waiting([Move(token, 0, 1, break_before_make=True)])
    rig.turn(0.1)
    assert token not in rig.world.tables[0] and token in rig.world.tables[1]
    assert rig.pool.counters.moves_broken == 1 and not rig.pool.moves.under_way
    assert rig.world.tables[1][token].left_mono_ns > 0  # of which its readers are told
    rig.check()


def test_between_decoders_a_target_has_to_be_up_first() -> None:
    """Until it is, the instrument ticks where it was, and others need not wait for it."""
    rig = Rig(pool_config(pool=f"{POOL}\nmoves_per_s = 1", more="[decoder]\ncount = 3"))
    rig.want("a", range(1, 61))
    rig.turn()
    rig.world.down = {1}
    rig.turn()
    one, other = list(rig.world.tables[0])[:2]
    moves = [Move(one, 0, 1, break_before_make=True), Move(other, 0, 2, break_before_make=True)]
    rig.pool.moves.replace_waiting(moves)
    rig.turn(0.5)
    assert one in rig.world.tables[0] and one not in rig.world.tables[1]
    assert other in rig.world.tables[2] and rig.pool.moves.waiting == 1
    rig.world.down = set()
    rig.turn(1.0)
    assert one in rig.world.tables[1] and one not in rig.world.tables[0]
    rig.check()


def test_between_decoders_nothing_leaves_for_a_connection_that_is_not_made_yet() -> None:
    pool = "instruments_per_connection = 100\nheadroom = 0.0\nshrink_after_s = 0.0"
    rig = Rig(pool_config(pool=pool, more="[decoder]\ncount = 3"))
    rig.want("a", range(1, 61))
    rig.turn()
    rig.pool.upkeep.ask_for(2)
    rig.world.refuses = True  # to make it, for now
    rig.turn(1.5)
    moves = [Move(token, 0, 1, break_before_make=True) for token in list(rig.world.tables[0])[:9]]
    rig.pool.moves.replace_waiting(moves)
    rig.turn(0.5)
    assert rig.counts() == {0: 60} and rig.pool.moves.waiting == 9
    rig.world.refuses = False
    rig.turn(0.5)
    assert rig.counts() == {0: 51, 1: 9}
    rig.check()


def test_a_target_that_is_closed_leaves_it_where_it_was() -> None:
    rig = _rig()
    rig.world.mute = {1}
    token = next(iter(rig.world.tables[0]))
    rig.pool.moves.replace_waiting([Move(token, 0, 1)])
    rig.turn(0.2)
    assert token in rig.world.tables[1]
    rig.pool.assigned.close(rig.pool.links[1])
    rig.turn(1.0)
    assert rig.pool.placement[token] == 0 and not rig.pool.moves.under_way
    rig.check()


def test_a_target_that_dies_gives_it_back_and_a_source_that_dies_gives_it_away() -> None:
    rig = _rig("redistribute_after_s = 0.3\nconfirm_after_s = 1.0")
    one, other = list(rig.world.tables[0])[:2]
    rig.world.mute = {1, 2}
    rig.pool.moves.replace_waiting([Move(one, 0, 1)])
    rig.turn(0.1)
    rig.world.down = {1}
    rig.turn(0.5)
    assert rig.pool.placement[one] == 0 and rig.pool.counters.moves_failed == 1
    rig.world.down = set()
    rig.turn(0.5)
    rig.pool.moves.replace_waiting([Move(other, 0, 2)])
    rig.turn(0.1)
    rig.world.down = {0}
    rig.turn(0.5)
    assert rig.pool.placement[other] == 0 and other in rig.world.tables[0]
    rig.turn(0.5)
    assert rig.pool.placement[other] == 2 and other not in rig.world.tables[0]
    rig.check()
