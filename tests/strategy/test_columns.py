"""Which columns ticks have, how they are chosen, and that they own their memory."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from pipeline.core.layout import tick_dtype
from pipeline.strategy import columns
from pipeline.strategy.columns import gather, zone_name


def _names(**arguments: object) -> list[str]:
    ticks = np.zeros(3, tick_dtype)
    return [c.name for c in gather(ticks, **{"columns": None, "depth": "flat"} | arguments)]


def test_all_columns_but_padding_in_the_order_of_the_record() -> None:
    fields = [name for name in tick_dtype.names if name != "_pad"]
    assert _names(depth="list") == fields
    flat = _names()
    assert len(flat) == len(fields) + 6 * 4
    assert flat[flat.index("bid_price_0") :][:5] == [f"bid_price_{i}" for i in range(5)]


def test_chosen_columns_come_in_the_wanted_order() -> None:
    assert _names(columns=["last_price", "bid_price_2", "mode"]) == [
        *("last_price", "bid_price_2", "mode"),
    ]
    assert _names(columns=["bid_orders"]) == [f"bid_orders_{i}" for i in range(5)]
    assert _names(columns=["bid_orders"], depth="list") == ["bid_orders"]
    assert _names(columns=[]) == []


@pytest.mark.parametrize(
    ("columns", "depth", "words"),
    [
        (["last_prise"], "flat", "unknown column 'last_prise': the nearest name is 'last_price'"),
        (["bid_price_5"], "flat", "unknown column 'bid_price_5': the nearest name is 'bid_price_"),
        (["bid_price_0"], "list", "the nearest name is 'bid_price'"),
        (["_pad"], "flat", "unknown column '_pad'"),
        (["mode", "mode"], "flat", "column 'mode' is asked for twice"),
        (["bid_price", "bid_price_0"], "flat", "column 'bid_price_0' is asked for twice"),
        (None, "wide", 'depth \'wide\': expected "flat" or "list"'),
    ],
)
def test_wrong_arguments_are_one_sentence(columns: object, depth: str, words: str) -> None:
    with pytest.raises(ValueError, match="^[^\n]*$") as caught:
        _names(columns=columns, depth=depth)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("ticks", "words"),
    [
        ([{"last_price": 1.0}], "found list"),
        (np.zeros(3), "found dtype float64"),
        (np.zeros(3, tick_dtype)[0], r"found one record of it; a slice such as ticks\[:1\]"),
    ],
)
def test_what_holds_no_ticks_is_refused(ticks: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        list(gather(ticks, None, "flat"))


def test_a_bare_string_is_not_a_list_of_columns() -> None:
    with pytest.raises(TypeError, match=r"write columns=\['mode'\]"):
        _names(columns="mode")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([7], "expected names, found 7"),
        ([["mode"]], "expected names, found \\['mode'\\]"),
        (5, "expected a list of names, found int"),
        (b"mode", "expected a list of names, found bytes"),
    ],
)
def test_what_is_no_name_is_a_type_error(columns: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        _names(columns=columns)


@pytest.mark.parametrize("field", [("x", "f4", (2, 3)), ("x", [("a", "i4")])])
def test_what_fits_no_column_is_refused(field: object) -> None:
    records = np.zeros(3, [field, ("y", "i4")])
    assert [column.name for column in gather(records, ["y"], "flat")] == ["y"]
    for depth in ("flat", "list"):
        with pytest.raises(ValueError, match="column 'x': expected a number or one row of them"):
            list(gather(records, None, depth))


def test_a_time_that_is_not_in_nanoseconds_is_a_number() -> None:
    records = np.array([(7,)], [("receive_ts_ns", "<i4")])
    [column] = gather(records, None, "flat")
    assert not column.is_time and column.values.tolist() == [7]


def test_columns_own_contiguous_memory_and_leave_the_ticks_alone() -> None:
    ticks = np.zeros(4, tick_dtype)
    before = ticks.copy()
    for depth in ("flat", "list"):
        for column in gather(ticks[::2], None, depth):
            assert column.values.flags.c_contiguous and column.values.flags.writeable
            assert not np.shares_memory(column.values, ticks)
    assert (ticks == before).all()


def test_foreign_records_and_byte_orders_are_taken_as_they_are() -> None:
    records = np.array([(1, 2.5), (3, 4.5)], [("number", ">u4"), ("value", ">f8")])
    number, value = gather(records, None, "flat")
    assert number.values.dtype == np.uint32 and number.values.tolist() == [1, 3]
    assert value.values.dtype == np.float64 and value.values.tolist() == [2.5, 4.5]


def test_time_zones_are_named() -> None:
    assert [zone_name(tz) for tz in (None, UTC, "UTC", ZoneInfo("Asia/Kolkata"))] == [
        *("UTC", "UTC", "UTC", "Asia/Kolkata"),
    ]
    for wrong in (
        "Asia/Kolkatta",
        "",
        "localtime",
        "Factory",
        "../x",
        timezone(timedelta(hours=5, minutes=30)),
    ):
        with pytest.raises(ValueError, match="expected the name of a time zone"):
            zone_name(wrong)


def test_a_machine_without_time_zones_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "available_timezones", set)
    with pytest.raises(ValueError, match="this machine has none, pip install tzdata"):
        zone_name("Nowhere/City")
