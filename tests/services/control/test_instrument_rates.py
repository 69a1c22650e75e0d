"""Rates by instrument: counted from what lies in the tick streams, and given to placement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline.brokers.registry import load_broker
from pipeline.core.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from pipeline.core.enums import SegmentKind
from pipeline.planning.policies import Policy
from pipeline.services.control.instrument_rates import GENERATION_NS, LOOK_NS, InstrumentRates
from pipeline.services.control.links import Measured
from pipeline.services.control.watch import Watch
from tests.services.control.world import Rig, pool_config
from tests.services.status.establish import Established

BUSY, CALM, SILENT, STRANGER = 101, 102, 103, 104
PLACED = (BUSY, CALM, SILENT)
START_NS = 1_000 * NS_PER_S


@pytest.fixture
def established(tmp_path: Path) -> Iterator[Established]:
    made = Established("rates", tmp_path)
    made.fill()
    yield made
    made.end()


def _bring(established: Established, number: int, counts: Mapping[int, int]) -> None:
    """Let so many ticks of each instrument come on a connection."""
    lane = established.lanes[number]
    for token, count in counts.items():
        ticks = lane.make_ticks(count)
        ticks["instrument_token"] = token
        lane.ticks.write(ticks)
        lane.ticks.publish(count)


def _look(rates: InstrumentRates, second: int, placed: tuple[int, ...] = PLACED) -> bool:
    return rates.look(START_NS + second * NS_PER_S, (0, 1), placed)


def test_ticks_are_counted_over_all_connections(established: Established) -> None:
    rates = InstrumentRates(established.paths)
    _bring(established, 0, {BUSY: 50})  # nobody knows when
    _look(rates, 0)
    for second in (5, 10):
        _bring(established, 0, {BUSY: 200, CALM: 10, STRANGER: 7})
        _bring(established, 1, {BUSY: 50})
        assert _look(rates, second)
        assert rates.rates == {} or second == 10
    assert rates.rates == {BUSY: 50.0, CALM: 2.0, SILENT: 0.05}


def test_it_looks_no_more_often_than_it_must(established: Established) -> None:
    rates = InstrumentRates(established.paths)
    assert _look(rates, 0) and not _look(rates, LOOK_NS // NS_PER_S - 1)


def test_where_more_came_than_a_stream_holds_its_newer_half_stands_for_all(
    established: Established,
) -> None:
    rates = InstrumentRates(established.paths)
    _look(rates, 0)
    capacity = established.lanes[0].ticks.capacity
    for _ in range(3):
        _bring(established, 0, {CALM: capacity // 2})
    _bring(established, 0, {BUSY: capacity // 8, CALM: capacity // 8, SILENT: capacity // 4})
    _look(rates, 10)
    came = 2 * capacity
    assert sum(rates.rates.values()) == pytest.approx(came / 10)
    assert rates.rates[SILENT] == pytest.approx(came / 20)


def test_a_rate_is_of_the_last_two_minutes_at_most(established: Established) -> None:
    rates = InstrumentRates(established.paths)
    seconds, period = range(0, 200, 5), GENERATION_NS // NS_PER_S
    for second in seconds:
        if 0 < second < 50:
            _bring(established, 0, {BUSY: 50})
        _look(rates, second)
        if second == 50:
            assert rates.rates[BUSY] == pytest.approx(450 / 50)
    assert rates.rates[BUSY] == pytest.approx(0.5 / (seconds[-1] - 2 * period), rel=0.1)


def test_one_that_is_placed_late_counts_from_then_and_one_that_goes_is_gone(
    established: Established,
) -> None:
    rates = InstrumentRates(established.paths)
    _look(rates, 0, (CALM,))
    _look(rates, 20, (CALM, BUSY))
    _bring(established, 0, {BUSY: 100})
    _look(rates, 30, (CALM, BUSY))
    assert rates.rates[BUSY] == 10.0
    _look(rates, 35, (CALM,))
    assert rates.rates.keys() == {CALM}


def test_a_connection_that_goes_at_this_moment_is_passed_over(established: Established) -> None:
    rates = InstrumentRates(established.paths)
    established.paths.segment(SegmentKind.TICKS, 1).unlink()
    _look(rates, 0)
    _bring(established, 0, {BUSY: 100})
    _look(rates, 10)
    assert rates.rates[BUSY] == 10.0


def test_the_watch_measures_ages_and_bytes(established: Established) -> None:
    watch = Watch(
        established.paths, confirm_ns=NS_PER_S, session_of=lambda _: load_broker("kite").session
    )
    now = monotonic_ns()
    watch.look(now, {})
    assert watch.histories[0].measured == Measured()
    lane = established.lanes[0]
    ticks = lane.make_ticks(9)
    ticks["exchange_ts_ns"] = 5 * NS_PER_S
    ticks["receive_ts_ns"] = 5 * NS_PER_S + np.arange(9) * NS_PER_MS
    lane.ticks.write(ticks)
    lane.ticks.publish(9)
    established.feeds[0].record["bytes_in"] += 4600
    established.commit(0, ticks_out=100, frames_in=10)
    watch.look(now + NS_PER_S, {})
    found = watch.histories[0].measured
    assert found.tick_age_p50_ns == 4 * NS_PER_MS
    assert found.bytes_per_s == pytest.approx(4600) and found.packets_per_s == pytest.approx(100)


def _placed(rig: Rig, tokens: range) -> dict[int, set[int]]:
    """Return which of these each connection has."""
    found: dict[int, set[int]] = {}
    for token in tokens:
        found.setdefault(rig.pool.placement[token], set()).add(token)
    return found


@pytest.mark.parametrize("policy", [Policy.WEIGHTED, Policy.LATENCY])
def test_placement_goes_by_what_was_measured(policy: Policy) -> None:
    """The first connection brings far more, or its ticks are far older: the others get the rest."""
    rig = Rig(pool_config(pool=f'policy = "{policy}"\nopen = "all"'))
    rig.want("a", range(1, 31))
    rig.turn(2)
    if policy is Policy.WEIGHTED:
        slow = next(iter(rig.pool.placement.values()))
        busy = {token for token, number in rig.pool.placement.items() if number == slow}
        rig.pool.packet_rates = {t: 500.0 if t in busy else 1.0 for t in rig.pool.placement}
    else:
        slow = 1
        rig.pool.measured = {
            number: Measured((80 if number == slow else 2) * NS_PER_MS) for number in rig.pool.links
        }
    rig.want("a", range(31, 61))
    rig.turn(2)
    assert rig.pool.unplaced == {}
    found = _placed(rig, range(31, 61))
    assert slow not in found and sorted(map(len, found.values())) == [15, 15]
    rig.check()
