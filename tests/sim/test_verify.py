"""The verifier finds exactly what was injected: losses, doubles, reorders, strangers, gaps."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.simulate import KIND_CACHED, KIND_LYING, truth_dtype
from pipeline.core.instruments import simulated_tokens
from pipeline.sim import grouping
from pipeline.sim import verify as verify_module
from pipeline.sim.verify import Verdict, gap_dtype, received_dtype, verify

Array = np.ndarray[Any, Any]
START_NS = 1_700_000_000_000_000_000
NO_GAPS = np.empty(0, gap_dtype)


def make_truth(
    random: np.random.Generator, rows: int, *, instruments: int = 40, first: int = 1
) -> Array:
    """Random ticks of three connections that share no instrument, modes changing now and then."""
    truth = np.zeros(rows, truth_dtype)
    tokens = np.array(simulated_tokens(0, instruments), np.uint32)
    place = random.integers(0, instruments, rows)
    truth["instrument_token"] = tokens[place]
    truth["connection"] = truth["session"] = place % 3
    truth["send_ts_ns"] = START_NS + np.cumsum(random.integers(1_000, 2_000_000, rows))
    mode = random.integers(1, 4, instruments)
    sequence = np.full(instruments, first, np.int64)
    for row, at in enumerate(place):
        if random.random() < 0.01:
            mode[at] = random.integers(1, 4)
            truth["kind"][row] = KIND_CACHED
        else:
            sequence[at] += 1
        truth["mode"][row], truth["sequence"][row] = mode[at], sequence[at] % 2**32
    return truth


def receive(truth: Array) -> Array:
    """What a perfect strategy logs."""
    received = np.zeros(len(truth), received_dtype)
    for name in ("instrument_token", "mode", "connection"):
        received[name] = truth[name]
    low = (truth["mode"] == 1) | (truth["instrument_token"] & 0xFF == 9)
    received["sequence"] = np.where(low, truth["sequence"] & 0xFFF, truth["sequence"])
    received["receive_ts_ns"] = truth["send_ts_ns"] + 150_000
    return received


def counts(verdict: Verdict) -> tuple[int, ...]:
    return (verdict.lost, verdict.doubled, verdict.out_of_order, verdict.unexplained)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3000), st.sampled_from([1, 4090, 2**32 - 500]))
def test_it_finds_exactly_what_was_injected(seed: int, rows: int, first: int) -> None:
    random = np.random.default_rng(seed)
    truth = make_truth(random, rows, first=first)
    order = list(range(rows))
    lost = set(random.choice(rows, random.integers(0, rows // 10 + 1), replace=False).tolist())
    kept = [row for row in order if row not in lost]
    swapped = 0
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(kept):
        groups.setdefault(int(truth["instrument_token"][row]), []).append(place)
    for places in groups.values():
        for a, b in zip(places[::4], places[1::4], strict=False):
            one, other = truth[["sequence", "mode"]][[kept[a], kept[b]]]
            if random.random() < 0.2 and one != other:  # equal ones cannot be told apart
                kept[a], kept[b] = kept[b], kept[a]
                swapped += 1
    # The copy of a state that was sent twice, once in vain, is that state's other sending.
    keys = Counter(truth[["instrument_token", "sequence", "mode"]].tolist())
    single = [
        r for r in kept if keys[truth[["instrument_token", "sequence", "mode"]][r].item()] == 1
    ]
    doubled = random.choice(single, min(len(single), 5), replace=False).tolist() if single else []
    log = receive(truth[kept + doubled])
    strangers = log[:3].copy()
    strangers["instrument_token"] = 77 << 8 | 1
    verdict = verify(truth, np.concatenate([log, strangers]), NO_GAPS)
    assert counts(verdict) == (len(lost), len(doubled), swapped, len(strangers))
    assert verdict.lost_outside_gaps == len(lost) and verdict.sent == rows
    expected = Counter(truth["instrument_token"][sorted(lost)].tolist())
    found = verify(truth, log, NO_GAPS, offenders_max=1000).instruments
    assert {i["instrument_token"]: i["lost"] for i in found if "lost" in i} == expected
    assert verdict.passed is (not lost and not doubled and not swapped and not len(strangers))


def test_a_perfect_log_passes_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = make_truth(np.random.default_rng(5), 5000)
    for rows_at_once in (1, 100, 4_000_000):
        monkeypatch.setattr(grouping, "_ROWS_AT_ONCE", rows_at_once)
        verdict = verify(truth, receive(truth), NO_GAPS)
        assert verdict.passed and counts(verdict) == (0, 0, 0, 0) and verdict.sent == 5000
        verdict = verify(truth, receive(truth)[7:], NO_GAPS)
        assert counts(verdict) == (7, 0, 0, 0)


def make_gap(
    connection: int, start_ns: int, end_ns: int, *, exact: bool = True, token: int = 0
) -> Array:
    return np.array([(connection, start_ns, end_ns, exact, token)], gap_dtype)


def cut_out(truth: Array, connection: int, first: int, last: int) -> tuple[Array, Array]:
    """Return the log without a connection's truth rows [first, last), and its honest gap."""
    rows = np.arange(len(truth))
    lost = (rows >= first) & (rows < last) & (truth["connection"] == connection)
    log = receive(truth)
    mine = log["receive_ts_ns"][(log["connection"] == connection) & ~lost]
    at = int(((truth["connection"] == connection) & (rows < first)).sum())
    return log[~lost], make_gap(connection, int(mine[at - 1]), int(mine[at]))


@pytest.mark.parametrize("rows_at_once", [1, 7, 1 << 20])
def test_a_gap_with_a_tick_in_its_midst_is_too_wide(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(verify_module, "CHUNK_ROWS", rows_at_once)
    truth = make_truth(np.random.default_rng(12), 900)
    log, honest = cut_out(truth, 1, 300, 360)
    verdict = verify(truth, log, honest)
    assert (verdict.gaps, verdict.gaps_too_wide) == (1, 0) and verdict.passed
    for end, by in (("start_ts_ns", -1), ("end_ts_ns", 1)):
        wide = honest.copy()
        wide[end] += by
        verdict = verify(truth, log, np.concatenate([honest, wide]))
        assert (verdict.gaps, verdict.gaps_too_wide) == (2, 1)
        assert verdict.lost_outside_gaps == 0 and not verdict.passed


def test_a_gap_over_the_whole_run_explains_every_loss_and_is_too_wide() -> None:
    truth = make_truth(np.random.default_rng(13), 900)
    log, _ = cut_out(truth, 1, 300, 360)
    whole = make_gap(1, START_NS, int(log["receive_ts_ns"][-1]) + 1)
    verdict = verify(truth, log, whole)
    assert verdict.lost_outside_gaps == 0 and verdict.gaps_too_wide == 1 and not verdict.passed
    whole["exact"] = False  # a decoder's overrun: no word about what was received meanwhile
    assert verify(truth, log, whole).passed
    assert verify(truth, log[log["connection"] != 1], make_gap(1, 0, 2**62)).passed


def test_ticks_of_other_connections_make_no_gap_too_wide() -> None:
    truth = make_truth(np.random.default_rng(14), 900)
    log, honest = cut_out(truth, 2, 200, 700)
    others = log["connection"] != 2
    inside = (log["receive_ts_ns"] > honest["start_ts_ns"]) & (
        log["receive_ts_ns"] < honest["end_ts_ns"]
    )
    assert (others & inside).sum() > 100
    assert verify(truth, log, honest).passed


def test_losses_within_a_gap_of_their_connection_are_explained_and_no_others() -> None:
    truth = make_truth(np.random.default_rng(6), 4000)
    times = truth["send_ts_ns"]
    cut = (times > times[1000]) & (times < times[1600]) & (truth["connection"] == 1)
    stray = 3000 + int(np.flatnonzero(truth["connection"][3000:] == 1)[0])
    cut[stray] = True
    log = receive(truth[~cut])
    gap = make_gap(1, int(times[1000]), int(times[1600]))
    verdict = verify(truth, log, gap, slack_ns=1000)
    assert verdict.lost == cut.sum() and verdict.lost_outside_gaps == 1 and not verdict.passed
    other = verify(truth, log, make_gap(2, int(times[1000]), int(times[1600])), slack_ns=1000)
    assert other.lost_outside_gaps == cut.sum()


def test_bytes_that_stood_in_a_buffer_are_explained_by_the_gap_between_their_neighbours() -> None:
    truth = make_truth(np.random.default_rng(7), 900)
    truth["connection"] = 0
    log = receive(truth)
    log["receive_ts_ns"] += 10_000_000_000  # a feed that was stopped for ten seconds
    lost = slice(300, 360)  # and then killed
    received_ns = log["receive_ts_ns"]
    gap = make_gap(0, int(received_ns[299]), int(received_ns[360]))
    log = np.delete(log, lost)
    verdict = verify(truth, log, gap)
    assert verdict.lost == 60 and verdict.lost_outside_gaps == 0 and verdict.passed
    early = make_gap(0, int(received_ns[100]), int(received_ns[200]))
    assert verify(truth, log, early).lost_outside_gaps == 60
    wide = verify(truth, log, make_gap(0, int(received_ns[100]), int(received_ns[800])))
    assert wide.lost_outside_gaps == 60 and wide.gaps_too_wide == 1


def test_the_tail_of_a_run_is_a_loss_unless_it_was_not_due() -> None:
    truth = make_truth(np.random.default_rng(8), 500)
    log = receive(truth)[:450]
    end_ns = int(truth["send_ts_ns"][449])
    assert verify(truth, log, NO_GAPS).lost_outside_gaps == 50
    assert verify(truth, log, NO_GAPS, until_ts_ns=end_ns).passed
    begin_ns = int(truth["send_ts_ns"][100])
    late = verify(truth, log[100:], NO_GAPS, from_ts_ns=begin_ns, until_ts_ns=end_ns)
    assert late.passed and late.sent == 350
    assert verify(truth, log, NO_GAPS, from_ts_ns=begin_ns, until_ts_ns=end_ns).passed


def test_a_state_sent_again_after_a_reconnect_is_not_a_double() -> None:
    truth = make_truth(np.random.default_rng(9), 200)
    again = truth[-40:].copy()
    again["send_ts_ns"] += 1_000_000_000
    again["kind"] = KIND_CACHED
    both = np.concatenate([truth, again])
    assert verify(both, receive(both), NO_GAPS).passed
    verdict = verify(both, np.concatenate([receive(both), receive(again)]), NO_GAPS)
    assert counts(verdict) == (0, 40, 0, 0)
    # The first sending was lost with its connection, the second arrived.
    gaps = np.concatenate([cut_out(both, connection, 160, 200)[1] for connection in range(3)])
    verdict = verify(both, receive(np.delete(both, slice(160, 200))), gaps)
    assert counts(verdict) == (40, 0, 0, 0) and verdict.passed


def test_lying_packets_may_be_missing_but_not_doubled() -> None:
    truth = make_truth(np.random.default_rng(10), 300)
    truth["kind"][100:110] = KIND_LYING
    assert verify(truth, receive(truth), NO_GAPS).lying_missing == 0
    verdict = verify(truth, receive(np.delete(truth, slice(100, 105))), NO_GAPS)
    assert verdict.passed and (verdict.lying_sent, verdict.lying_missing) == (10, 5)
    verdict = verify(truth, receive(truth[[*range(300), 100]]), NO_GAPS)
    assert counts(verdict) == (0, 1, 0, 0)


def test_sessions_without_a_connection_and_empty_logs() -> None:
    truth = make_truth(np.random.default_rng(11), 100)
    assert verify(truth, np.empty(0, received_dtype), NO_GAPS).lost == 100
    assert verify(truth[:0], np.empty(0, received_dtype), NO_GAPS).passed
    assert verify(truth[:0], receive(truth), NO_GAPS).unexplained == 100
    log = receive(truth)
    truth["connection"][50:] = -1
    verdict = verify(truth, log[:50], NO_GAPS)
    assert verdict.passed and verdict.sent == 50
    assert verify(truth, log, NO_GAPS).unexplained == 50
    assert verdict.as_dict()["passed"] is True


@pytest.mark.full
def test_twenty_million_rows() -> None:
    rows, share = 20_000_000, 3000
    truth = np.zeros(rows, truth_dtype)
    frame = np.arange(rows) // 100
    connection = frame % 3
    count = frame // 3 * 100 + np.arange(rows) % 100
    tokens = np.array(simulated_tokens(0, 3 * share), np.uint32)
    truth["instrument_token"] = tokens[connection * share + count % share]
    truth["sequence"] = count // share + 2
    truth["connection"], truth["mode"] = connection, np.array([3, 2, 1])[connection]
    truth["send_ts_ns"] = START_NS + np.arange(rows) * 500
    log = receive(truth)
    assert verify(truth, log, NO_GAPS).passed
    log = np.delete(log, np.arange(0, rows, 1_000_003))
    verdict = verify(truth, log, NO_GAPS)
    assert counts(verdict) == (20, 0, 0, 0)


def test_a_gap_of_one_instrument_explains_it_alone_and_on_every_connection() -> None:
    truth = make_truth(np.random.default_rng(21), 900)
    token = int(truth["instrument_token"][400])
    truth["connection"][(truth["instrument_token"] == token) & (np.arange(900) >= 400)] += 1
    mine = np.flatnonzero(truth["instrument_token"] == token)
    lost = mine[(mine >= 300) & (mine < 500)]
    other = int(truth["instrument_token"][lost[0] + 1])
    log = receive(np.delete(truth, lost))
    first_ns, last_ns = (int(truth["send_ts_ns"][lost[at]]) for at in (0, -1))
    gap = make_gap(int(truth["connection"][500]), first_ns, last_ns, exact=False, token=token)
    verdict = verify(truth, log, gap, slack_ns=1)
    assert verdict.passed and (verdict.lost, verdict.gaps) == (len(lost), 1)
    strange = make_gap(int(gap["connection"][0]), first_ns, last_ns, exact=False, token=other)
    assert verify(truth, log, strange, slack_ns=1).lost_outside_gaps == len(lost)
    wide = make_gap(0, first_ns, int(truth["send_ts_ns"][-1]), exact=False, token=token)
    verdict = verify(truth, log, wide, slack_ns=1)
    assert (verdict.lost_outside_gaps, verdict.gaps_too_wide) == (0, 1)
