"""What pages say of connections, read in place, and what follows over time."""

from __future__ import annotations

import numpy as np

from ext.rings import FrameRingWriter
from pipeline.brokers.contract import Session
from pipeline.brokers.registry import load_broker
from pipeline.core import layout
from pipeline.core.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from pipeline.core.enums import EventKind, Reason, SegmentKind, State
from pipeline.planning.health import Band, PoolState
from pipeline.services.control.decoders import Decoders
from pipeline.services.control.occurrences import EventLog, Occurrence
from pipeline.services.control.readings import HUNG_NS, Readings
from pipeline.services.control.texts import ErrorTexts
from pipeline.services.control.unconfirmed import Unconfirmed
from pipeline.services.control.watch import Watch, totals
from pipeline.shm.tables import AssignmentTable, WireTable
from tests.services.status.establish import Established

CONFIRM_NS = 10 * NS_PER_S
SESSION = load_broker("kite").session
CAPACITIES = {0: 20, 1: 20, 2: 20}


def _session(number: int) -> Session:
    return SESSION


def test_a_reading_has_the_four_sets_and_the_counters(established: Established) -> None:
    established.commit(1, frames_in=30, ticks_out=500)
    found = Readings(established.paths, CONFIRM_NS).take(monotonic_ns())
    assert sorted(found) == [0, 1, 2]
    reading = found[1]
    assert (reading.assigned, reading.wire, reading.confirmed) == (20, 18, 12)
    assert reading.unconfirmed == () and reading.connected
    assert sum(reading.modes.values()) == 20
    assert reading.decode["ticks_out"] == 500 and reading.feed["messages_in"] == 1000
    assert reading.state is State.LIVE and reading.alive and not reading.hung


def test_a_hung_feed_is_not_connected(established: Established) -> None:
    found = Readings(established.paths, CONFIRM_NS).take(monotonic_ns() + HUNG_NS + NS_PER_S)
    assert all(reading.hung and not reading.connected for reading in found.values())


def test_connections_that_leave_are_gone(established: Established) -> None:
    readings = Readings(established.paths, CONFIRM_NS)
    readings.take(monotonic_ns())
    kept = [e for e in established.file.manifest if e.kind is not SegmentKind.FEED_STATUS]
    established.file.set_manifest(kept)
    assert readings.take(monotonic_ns()) == {}


def test_ages_are_those_of_ticks_that_have_a_time(established: Established) -> None:
    lane = established.lanes[0]
    ticks = lane.make_ticks(4)
    ticks["receive_ts_ns"] = 5 * NS_PER_S
    ticks["exchange_ts_ns"] = [0, 4 * NS_PER_S, 3 * NS_PER_S, 0]
    lane.ticks.write(ticks)
    lane.ticks.publish(4)
    found = Readings(established.paths, CONFIRM_NS).take(monotonic_ns())[0]
    assert sorted(found.ages_ns.tolist()) == [NS_PER_S, 2 * NS_PER_S]


def _tables(established: Established) -> Unconfirmed:
    kinds = (SegmentKind.ASSIGNMENT, SegmentKind.WIRE, SegmentKind.CONFIRMED)
    return Unconfirmed(*(established.attach(kind, 0) for kind in kinds), CONFIRM_NS)


def test_unconfirmed_is_what_is_on_the_wire_for_long_without_a_packet(
    established: Established,
) -> None:
    tables = _tables(established)
    assigned = AssignmentTable(established.attach(SegmentKind.ASSIGNMENT, 0)).read()[1]
    tokens = assigned["instrument_token"].tolist()
    assert tables.look(2, 1000).unconfirmed == ()
    assert tables.look(2, 1000 + CONFIRM_NS - 1).unconfirmed == ()
    assert set(tables.look(2, 1000 + CONFIRM_NS).unconfirmed) == set(tokens[12:18])


def test_what_comes_onto_the_wire_later_has_a_time_of_its_own(established: Established) -> None:
    tables = _tables(established)
    tables.look(2, 1000)
    assigned = AssignmentTable(established.attach(SegmentKind.ASSIGNMENT, 0)).read()[1]
    wire = np.zeros(20, layout.dtypes["WireC"])
    wire["instrument_token"] = assigned["instrument_token"]
    table = WireTable(established.attach(SegmentKind.WIRE, 0))
    table.write(wire, connection_epoch=2)
    tables.look(2, 5000)
    found = set(tables.look(2, 1000 + CONFIRM_NS).unconfirmed)
    assert found == set(assigned["instrument_token"][12:18].tolist())
    found = set(tables.look(2, 5000 + CONFIRM_NS).unconfirmed)
    assert found == set(assigned["instrument_token"][12:].tolist())
    assert tables.look(3, 10**15).wire == 0  # another socket: nothing was sent on it yet


def _note(established: Established, state: State, reason: Reason, detail: int = 0) -> None:
    lane = established.lanes[0]
    row = np.zeros(1, layout.dtypes["EventC"])
    row["kind"], row["state"], row["reason"], row["detail"] = (
        EventKind.STATE, state, reason, detail,
    )  # fmt: skip
    row["end_ts_ns"] = 77
    lane.events.write(row)
    lane.events.publish(1)


def test_events_are_read_once_and_from_before_our_time(established: Established) -> None:
    _note(established, State.LIMITED, Reason.RATE_LIMITED, 429)
    log = EventLog(established.paths, 0)
    assert [found.detail for found in log.news()] == [429]
    assert list(log.news()) == []
    _note(established, State.LIVE, Reason.FIRST_DATA)
    assert [found.state for found in log.news()] == [State.LIVE]


def test_a_log_that_was_lapped_begins_at_what_is_left(established: Established) -> None:
    log = EventLog(established.paths, 0)
    count = established.lanes[0].events.capacity + 100
    for _ in range(count):
        _note(established, State.LIVE, Reason.FIRST_DATA)
    assert 0 < len(list(log.news())) < count


def test_the_watch_judges_and_tells_what_is_new(established: Established) -> None:
    told: list[Occurrence] = []
    _note(established, State.RECONNECTING, Reason.RESET)
    watch = Watch(established.paths, confirm_ns=CONFIRM_NS, session_of=_session, tell=told.append)
    now = monotonic_ns()
    assert watch.look(now, CAPACITIES) and not watch.look(now + NS_PER_MS, CAPACITIES)
    assert told == [] and watch.health.state is PoolState.HEALTHY
    error = watch.histories[0].last_error
    assert error is not None and (error.reason, error.ts_ns) == ("RESET", 77)
    _note(established, State.LIMITED, Reason.RATE_LIMITED, 429)
    watch.look(now + NS_PER_S, CAPACITIES)
    assert [found.state for found in told] == [State.LIMITED]


def test_how_a_connection_begins_and_ends_is_told(established: Established) -> None:
    """Also what happens before it is looked at, and after it has been for the last time."""
    told: list[Occurrence] = []
    watch = Watch(established.paths, confirm_ns=CONFIRM_NS, session_of=_session, tell=told.append)
    whole = list(established.file.manifest)
    without = [e for e in whole if (e.kind, e.number) != (SegmentKind.FEED_STATUS, 0)]
    established.file.set_manifest(without)
    now = monotonic_ns()
    watch.look(now, CAPACITIES)
    _note(established, State.CONNECTING, Reason.STARTED)
    established.file.set_manifest(whole)
    watch.look(now + NS_PER_S, CAPACITIES)
    _note(established, State.CLOSED, Reason.DRAINED)
    established.file.set_manifest(without)
    watch.look(now + 2 * NS_PER_S, CAPACITIES)
    assert [found.state for found in told] == [State.CONNECTING, State.CLOSED]
    assert sorted(watch.histories) == [1, 2]


def test_a_connection_that_goes_at_this_moment_is_passed_over(established: Established) -> None:
    watch = Watch(established.paths, confirm_ns=CONFIRM_NS, session_of=_session)
    established.paths.segment(SegmentKind.EVENTS, 1).unlink()
    assert watch.look(monotonic_ns(), CAPACITIES)
    assert sorted(watch.readings) == sorted(watch.histories) == [0, 2]


def test_one_that_is_down_is_degraded_and_errors_age_out(established: Established) -> None:
    """R7: one past error is not for ever."""
    watch = Watch(established.paths, confirm_ns=CONFIRM_NS, session_of=_session)
    now = monotonic_ns()
    watch.look(now, CAPACITIES)
    feed = established.feeds[1]
    feed.set_state(State.RECONNECTING, Reason.RESET)
    feed.record["resets"] += 1
    watch.look(now + NS_PER_S, CAPACITIES)
    assert watch.health.is_degraded and round(watch.health.percentage, 1) == 66.7
    found = watch.score(1)
    assert found is not None and found.score == 0 and found.band is Band.UNHEALTHY
    feed.set_state(State.LIVE, Reason.FIRST_DATA)
    watch.look(now + 2 * NS_PER_S, CAPACITIES)
    assert watch.health.state is PoolState.WARNING
    _live_on(established, now + 62 * NS_PER_S)
    watch.look(now + 62 * NS_PER_S, CAPACITIES)
    assert watch.health.is_healthy


def _live_on(established: Established, now_ns: int) -> None:
    for page in established.feeds:
        page.beat(now_ns)
        page.record["last_byte_mono_ns"] = now_ns
        page.record["heartbeats_in"] += 1


def test_heartbeats_alone_are_healthy_for_two_minutes(established: Established) -> None:
    """R17: a quiet market is well."""
    watch = Watch(established.paths, confirm_ns=CONFIRM_NS, session_of=_session)
    start = monotonic_ns()
    for second in range(120):
        now = start + second * NS_PER_S
        _live_on(established, now)
        watch.look(now, {0: 0, 1: 0, 2: 0} | CAPACITIES)
    # What the fixture left without a packet is told, and is not about life.
    assert all(found.penalties.liveness == 0 for found in watch.health.connections)
    assert watch.health.is_healthy
    assert watch.histories[0].last_heartbeat_mono_ns == start + 119 * NS_PER_S
    rate = watch.histories[0].rates["heartbeats"]
    assert rate.s1 == 1.0 and abs(rate.s60 - 1.0) < 0.02


def test_gaps_of_instruments_are_counted_beside_those_of_connections(
    established: Established,
) -> None:
    established.commit(1, gaps_out=2, instrument_gaps_out=40)
    watch = Watch(established.paths, confirm_ns=CONFIRM_NS, session_of=_session)
    watch.look(monotonic_ns(), {0: 0, 1: 0, 2: 0} | CAPACITIES)
    found = totals(watch.readings[1])
    assert (found["gaps"], found["instrument_gaps"]) == (2, 40)


def _say(established: Established, text: bytes) -> None:
    writer = FrameRingWriter(established.attach(SegmentKind.TEXT, 0).mapping)
    assert writer.append(text, connection_epoch=2, receive_ts_ns=1, receive_mono_ns=1)


def test_of_texts_the_newest_error_is_told_once(established: Established) -> None:
    _say(established, b'{"type":"error","data":"before our time"}')
    texts = ErrorTexts(established.paths, 0, SESSION)
    assert texts.newest() is None
    _say(established, b'{"type":"error","data":"Can\'t subscribe to more than 3000 instruments."}')
    _say(established, b'{"type":"message","data":"hello"}')
    _say(established, b"\xff not JSON")
    assert texts.newest() == "Can't subscribe to more than 3000 instruments."
    assert texts.newest() is None


def test_a_text_is_one_line_that_any_terminal_and_any_document_may_have(
    established: Established,
) -> None:
    texts = ErrorTexts(established.paths, 0, SESSION)
    hostile = rb'{"type":"error","data":"no\nlevel=INFO \u001b[2Jall well \ud800"}'
    _say(established, hostile)
    assert texts.newest() == "no level=INFO  [2Jall well  "


def test_a_decoder_that_gives_no_sign_is_hung(established: Established) -> None:
    decoders = Decoders(established.paths, 1)
    now = monotonic_ns()
    found = decoders.take(now)[0]
    assert found.alive and not found.hung and found.publish_max_ns == 30_000
    assert found.document()["receive_to_publish_us"]["max"] == 30.0
    assert decoders.take(now + HUNG_NS + NS_PER_S)[0].hung
