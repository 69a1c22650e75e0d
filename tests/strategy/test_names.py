"""Names in `latest`: from what was subscribed to, else from the instrument list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline.core.errors import CapacityError, NoInstruments, UnknownInstruments
from pipeline.instruments import lookup, write_store
from pipeline.strategy.names import as_tokens
from tests.instruments.lists import DAY, small_list
from tests.strategy.writer import FakeInstance


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "list.sqlite"
    write_store(small_list(), file=path, source="csv x.csv", day=DAY)
    yield path
    lookup._shared.clear()


def tokens(instruments: object, file: Path | None = None, **subscribed: list[int]) -> object:
    return as_tokens(
        instruments,  # type: ignore[arg-type]
        file=file,
        subscribed=lambda form: subscribed.get(form.replace(":", "_"), ()),
        price=lambda token: None,
    )


def test_without_a_name_nothing_is_looked_up() -> None:
    array = np.array([1, 2])
    assert tokens(array) is array
    assert tokens([1, 2]) == [1, 2] and tokens(7) == 7 and sorted(tokens({1, 2})) == [1, 2]  # type: ignore[call-overload]


def test_names_are_looked_up(file: Path) -> None:
    assert tokens("NSE:INFY", file) == [408065]
    assert tokens(["NSE:INFY", 5, "NSE_INDEX:NIFTY", "7"], file) == [408065, 5, 256265, 7]
    with pytest.raises(UnknownInstruments, match="did you mean NSE:INFY"):
        tokens(["NSE:INFI"], file)


def test_what_was_subscribed_to_needs_no_list(tmp_path: Path) -> None:
    none = tmp_path / "none.sqlite"
    assert tokens(["NSE:INFY", 9, "NFO:X@near:atm"], none, **{
        "NSE_INFY": [408065], "NFO_X@near_atm": [22, 11],
    }) == [408065, 9, 11, 22]  # fmt: skip
    with pytest.raises(NoInstruments):
        tokens(["NSE:INFY", "NSE:M&M"], none, NSE_INFY=[408065])


def test_latest_takes_names(instance: FakeInstance, file: Path) -> None:
    options = {"shm_directory": instance.paths.root, "instruments_file": file}
    with pipeline.attach(instance.paths.name, **options) as market:
        found = market.latest(["NSE_INDEX:NIFTY", "NSE:INFY", 408065])
        assert found["instrument_token"].tolist() == [256265, 408065, 408065]
        assert market.latest("NSE:#1594")["instrument_token"].tolist() == [408065]
        with pytest.raises(CapacityError, match="738561"):
            market.latest(["NSE:RELIANCE"])


def test_atm_in_latest_is_the_price_that_streams(
    instance: FakeInstance, file: Path, tmp_path: Path
) -> None:
    rows = [row._replace(expiry=row.expiry.replace("2024", "2999")) for row in small_list()]
    write_store(rows, file=file, source="csv x.csv", day=DAY)
    form = "NFO:NIFTY@near:atm:CE"
    options = {"shm_directory": instance.paths.root, "instruments_file": file}
    with pipeline.attach(instance.paths.name, **options) as market:
        with pytest.raises(CapacityError, match=str(10_000_002 + 512 * 20)):  # 24000, of the list
            market.latest([form])
        tick = instance.connections[0].lane.make_ticks(1, (256265,))[0]
        tick["sequence"], tick["last_price"] = 1, 23_049.0
        instance.write_latest(1, tick)
        with pytest.raises(CapacityError, match=str(10_000_002 + 512)):  # 23050
            market.latest([form])
