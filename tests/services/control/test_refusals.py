"""A broker that takes fewer instruments on a connection than was believed."""

from __future__ import annotations

import pytest

from pipeline.planning.pool import Why
from tests.services.control.world import Rig, pool_config

DECODERS = "[decoder]\ncount = 3"
ONE_BY_ONE = 'policy = "first_fit"\ninstruments_per_connection = 100\nheadroom = 0.0'


@pytest.mark.parametrize("takes_parts", [True, False], ids=["part", "whole"])
def test_what_a_connection_does_not_take_goes_elsewhere(takes_parts: bool) -> None:
    rig = Rig(pool_config(pool=ONE_BY_ONE))
    rig.world.takes_parts = takes_parts
    rig.want("a", range(1, 51))
    rig.turn()
    rig.world.limit = 60
    rig.want("a", range(51, 101))
    rig.turn()
    assert rig.counts() == {0: 100}
    rig.turn(6.0)
    assert len(rig.world.taken[0]) <= 60 and not rig.pool.unplaced
    assert sum(map(len, rig.world.taken.values())) == 100
    assert rig.pool.links[0].capacity == 60 == rig.pool.refusals.limits[0]
    assert rig.pool.links[0].size == 100 and rig.world.topology[0].instruments_max == 100
    rig.check()


@pytest.mark.parametrize("takes_parts", [True, False], ids=["part", "whole"])
def test_the_first_batch_of_all_may_be_too_much(takes_parts: bool) -> None:
    rig = Rig(pool_config(pool=ONE_BY_ONE))
    rig.world.limit, rig.world.takes_parts = 40, takes_parts
    rig.want("a", range(1, 101))
    rig.turn(10.0)
    assert sum(map(len, rig.world.taken.values())) == 100 and not rig.pool.unplaced
    assert max(map(len, rig.world.taken.values())) <= 40
    rig.check()


def test_what_was_on_another_decoder_before_says_so_wherever_it_ticks_at_last() -> None:
    rig = Rig(pool_config(pool=f"{ONE_BY_ONE}\nredistribute_after_s = 0.2", more=DECODERS))
    rig.want("a", range(1, 51))
    rig.turn()
    left_ns = rig.world.decoded_until(0)
    rig.world.down, rig.world.limit = {0}, 30
    rig.turn(8.0)
    rows = [row for n in (1, 2) for row in rig.world.tables[n].values()]
    assert len(rows) == 50 and {row.left_mono_ns for row in rows} == {left_ns}
    rig.check()


def test_what_fits_nowhere_waits_with_a_reason_and_the_rest_ticks() -> None:
    rig = Rig(pool_config(pool=ONE_BY_ONE))
    rig.world.limit = 30
    rig.want("a", range(1, 201))
    rig.turn(12.0)
    assert sorted(map(len, rig.world.taken.values())) == [30, 30, 30]
    assert len(rig.pool.unplaced) == 110 and set(rig.pool.unplaced.values()) == {Why.CAPACITY}
    assert rig.pool.orphans.keys() == rig.pool.unplaced.keys()
    writes = rig.world.writes
    rig.turn(5.0)
    assert rig.world.writes == writes  # it does not ask again and again
    rig.check()


def test_a_limit_that_is_not_ours_costs_what_does_not_tick_and_no_more() -> None:
    rig = Rig(pool_config(pool=ONE_BY_ONE))
    rig.want("a", range(1, 81))
    rig.turn()
    rig.world.written_ns[0, 7] = 0
    rig.world.say(0, '{"type":"error","data":"Can\'t subscribe to more than 3000 instruments."}')
    rig.turn(3.0)
    assert rig.pool.links[0].capacity == 79 and 7 not in rig.world.tables[0]
    assert rig.counts() == {0: 79, 1: 1}
    rig.check()


def test_other_texts_and_those_of_an_earlier_connection_mean_nothing() -> None:
    rig = Rig(pool_config(pool=ONE_BY_ONE))
    rig.want("a", range(1, 81))
    rig.turn()
    rig.world.mute = {0}
    for text in ("no JSON", '{"type":"error","data":"Something else"}', '{"type":"error"}'):
        rig.world.say(0, text)
    payload = b'{"type":"error","data":"subscribe to more than 5 instruments"}'
    earlier = rig.world.said[0][0]._replace(connection_epoch=0, payload=payload)
    rig.world.said[0].append(earlier)
    rig.turn(3.0)
    assert rig.counts() == {0: 80} and not rig.pool.refusals.limits


def test_an_instrument_on_its_way_stays_where_it_came_from() -> None:
    rig = Rig(pool_config(pool=f'open = "all"\n{ONE_BY_ONE}'))
    rig.want("a", range(1, 81))
    rig.turn()
    source = rig.pool.placement[1]
    target = (source + 1) % 3
    rig.world.limit = 0
    rig.move(1, source, target)
    rig.turn(3.0)
    assert rig.pool.placement[1] == source and 1 not in rig.world.tables[target]
    assert not rig.pool.moves.under_way and not rig.pool.unplaced
    rig.check()


def test_a_successor_believes_what_was_said_before_it() -> None:
    rig = Rig(pool_config(pool=ONE_BY_ONE))
    rig.world.limit = 60
    rig.want("a", range(1, 101))
    rig.turn(6.0)
    said = "Can't subscribe to more than 60 instruments."
    rig.world.say(0, f'{{"type":"error","data":"{said}"}}')
    rig.world.now_ns += 1
    again = Rig(rig.config, rig.world)
    again.turn(3.0)
    assert again.pool.links[0].capacity == 60 and not again.pool.unplaced
    again.check()
