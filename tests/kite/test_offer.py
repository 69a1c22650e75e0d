"""What a foreign instance does not stream as it is wanted: each difference once."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.enums import Mode
from pipeline.kite.offer import Offer
from pipeline.strategy.market import attach
from tests.strategy.writer import FakeInstance

INFY, NIFTY = 408065, 256265


def test_each_difference_is_told_once_and_again_after_it_was_given_up(shm_root: Path) -> None:
    instance = FakeInstance("theirs", shm_root)  # both instruments in mode quote
    market = attach("theirs", shm_directory=shm_root)
    offer = Offer(market)

    def told(**wanted: Mode) -> list[tuple[str, bool]]:
        tokens = {"infy": INFY, "nifty": NIFTY, "none": 5}
        found = offer.complaints({tokens[name]: mode for name, mode in wanted.items()})
        return [(complaint.text, complaint.is_error) for complaint in found]

    assert told(infy=Mode.QUOTE) == []
    [(text, is_error)] = told(infy=Mode.FULL, nifty=Mode.FULL)
    assert f"2 of these instruments ({NIFTY}, {INFY}) in mode quote, not full" in text
    assert "[[subscription]] mode" in text and is_error
    assert told(infy=Mode.FULL, nifty=Mode.FULL) == []
    [(text, is_error)] = told(infy=Mode.FULL, nifty=Mode.LTP)
    assert f"({NIFTY}) in mode quote, not ltp" in text and not is_error
    [(text, is_error)] = told(infy=Mode.FULL, none=Mode.QUOTE)
    assert "does not stream 1 of these instruments (5)" in text and is_error
    assert told(infy=Mode.FULL, none=Mode.FULL) == []
    assert len(told(nifty=Mode.LTP)) == 1
    market.close()
    instance.end()
