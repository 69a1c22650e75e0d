"""The made-up list: its size and mix, its order, and that our reader takes all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from itertools import islice

import pytest

from pipeline.brokers.kite.symbols import read_instruments, segment_of
from pipeline.core.instrument import Instrument
from pipeline.core.instruments import KNOWN_TOKENS, simulated_token, simulated_tokens
from pipeline.instruments.openalgo import openalgo_key
from pipeline.instruments.synthetic import LISTED, MIX, ROWS, csv_lines, synthetic_instruments

DAY = date(2026, 1, 5)


@pytest.fixture(scope="module")
def whole() -> Sequence[Instrument]:
    return list(synthetic_instruments(DAY))


def test_size_and_mix(whole: Sequence[Instrument]) -> None:
    assert len(whole) == ROWS == 110_000 == sum(MIX.values())
    assert Counter(segment_of(row.instrument_token) for row in whole) == MIX
    counts = Counter(row.exchange for row in whole if not row.is_index)
    assert (counts["NCO"], counts["CDS"]) == (25_000, 8000)
    assert counts.most_common(3)[0][0] == "NFO"
    assert all(name in counts for name in ("NSE", "BSE", "BFO", "BCD", "MCX"))


def test_it_begins_with_what_the_exchange_lists(whole: Sequence[Instrument]) -> None:
    tokens = [row.instrument_token for row in whole]
    assert tuple(tokens[:LISTED]) == simulated_tokens(0, LISTED)
    positions = {simulated_token(position): position for position in range(450_000)}
    found = [positions[token] for token in tokens]
    assert found == sorted(found)


def test_names_and_tokens_are_unique(whole: Sequence[Instrument]) -> None:
    assert len({row.instrument_token for row in whole}) == ROWS
    assert len({row.key for row in whole}) == ROWS
    assert len({openalgo_key(row) for row in whole}) == ROWS


def test_known_instruments_have_their_names(whole: Sequence[Instrument]) -> None:
    names = [row.key for row in whole[: len(KNOWN_TOKENS)]]
    assert names == [
        *("NSE:INFY", "NSE:TATAMOTORS", "NSE:RELIANCE"),
        *("NSE:NIFTY 50", "NSE:NIFTY BANK", "BSE:SENSEX"),
    ]


def test_segments_and_exchanges_agree_with_the_tokens(whole: Sequence[Instrument]) -> None:
    names = {1: "NSE", 2: "NFO", 3: "CDS", 4: "BSE", 5: "BFO", 6: "BCD", 7: "MCX", 12: "NCO"}
    for row in whole:
        segment = segment_of(row.instrument_token)
        assert row.exchange_token == row.instrument_token >> 8
        assert row.is_index == (segment == 9)
        assert row.is_index or row.exchange == names[segment]


def test_the_options_that_people_trade_tick(whole: Sequence[Instrument]) -> None:
    listed = [row for row in whole[:LISTED] if row.name == "NIFTY" and row.strike]
    near = min(row.expiry for row in listed)
    strikes = {row.strike for row in listed if row.expiry == near}
    assert {24_600.0 + 50 * step for step in range(-20, 21)} <= strikes


def test_our_reader_takes_every_line(whole: Sequence[Instrument]) -> None:
    assert list(read_instruments(csv_lines(whole), None)) == list(whole)


def test_seed_and_day_decide(whole: Sequence[Instrument]) -> None:
    assert list(islice(synthetic_instruments(DAY), 2000)) == list(whole[:2000])
    assert list(islice(synthetic_instruments(DAY, seed=2), 2000)) != list(whole[:2000])
    other = list(islice(synthetic_instruments(date(2026, 2, 5)), 2000))
    assert min(row.expiry for row in other if row.expiry) >= "2026-02-05"


@pytest.mark.parametrize("rows", [1, 10, 8999, 9000, 9001, 12_345])
def test_other_sizes(rows: int) -> None:
    found = list(synthetic_instruments(DAY, rows=rows))
    assert len({row.instrument_token for row in found}) == len(found) == rows


@pytest.mark.parametrize("rows", [0, ROWS + 1])
def test_sizes_that_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 110000"):
        next(synthetic_instruments(DAY, rows=rows))
