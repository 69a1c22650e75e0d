"""Ticks as pandas, polars and Arrow: same values, same types, null times, whatever the array."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline
from pipeline.core import extras
from pipeline.core.layout import tick_dtype
from pipeline.strategy.columns import TIMES, gather

NONE_NS = np.iinfo(np.int64).min  # what NaT is inside


def _library(name: str) -> Any:
    return pytest.importorskip(name, reason=f"the optional package {name} is not installed")


def _ticks(count: int, seed: int) -> np.ndarray:
    """Random bytes in every field, so NaN, infinities and extremes too; times are 0 or sane."""
    random = np.random.default_rng(seed)
    size = count * tick_dtype.itemsize
    ticks = np.frombuffer(bytearray(random.bytes(size)), tick_dtype).copy()
    for name in TIMES:
        times = random.integers(1, 2**62, count)
        ticks[name] = np.where(random.random(count) < 0.3, 0, times)
    return ticks


def _of_pandas(frame: Any) -> dict[str, list[Any]]:
    found = {}
    for name, series in frame.items():
        if str(series.dtype).startswith("datetime64"):
            naive = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
            found[name] = naive.astype("datetime64[ns]").view(np.int64).tolist()
        else:
            found[name] = [v.tolist() if isinstance(v, np.ndarray) else v for v in series.tolist()]
    return found


def _of_polars(frame: Any) -> dict[str, list[Any]]:
    polars = _library("polars")
    found = {}
    for series in frame:
        if series.dtype == polars.Datetime:
            found[series.name] = series.to_physical().fill_null(NONE_NS).to_list()
        else:
            found[series.name] = [
                v.to_list() if isinstance(v, polars.Series) else v for v in series.to_list()
            ]
    return found


def _of_arrow(table: Any) -> dict[str, list[Any]]:
    arrow = _library("pyarrow")
    found = {}
    for name in table.column_names:
        column = table.column(name)
        if arrow.types.is_timestamp(column.type):
            column = column.cast(arrow.int64()).fill_null(NONE_NS)
        found[name] = column.to_pylist()
    return found


BACK: dict[str, Callable[[Any], dict[str, list[Any]]]] = {
    "pandas": _of_pandas,
    "polars": _of_polars,
    "arrow": _of_arrow,
}
PACKAGE = {"pandas": "pandas", "polars": "polars", "arrow": "pyarrow"}


def _convert(library: str, ticks: np.ndarray, **arguments: Any) -> Any:
    _library(PACKAGE[library])
    return getattr(pipeline, f"to_{library}")(ticks, **arguments)


def _same(found: list[Any], expected: list[Any]) -> bool:
    return len(found) == len(expected) and all(
        _same(a, b) if isinstance(b, list) else a == b or (_is_nan(a) and _is_nan(b))
        for a, b in zip(found, expected, strict=True)
    )


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


@pytest.mark.parametrize("library", BACK)
@settings(max_examples=12)
@given(
    count=st.integers(0, 9),
    seed=st.integers(0, 2**32 - 1),
    depth=st.sampled_from(["flat", "list"]),
    step=st.sampled_from([1, 2, -1]),
    tz=st.sampled_from([None, "Asia/Kolkata", "America/New_York"]),
)
def test_values_are_equal(
    library: str, count: int, seed: int, depth: str, step: int, tz: str | None
) -> None:
    ticks = _ticks(count, seed)[::step]
    frame = _convert(library, ticks, depth=depth, tz=tz)
    found = BACK[library](frame)
    expected = {
        c.name: (c.values.view(np.int64) if c.is_time else c.values).tolist()
        for c in gather(ticks, None, depth)
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert _same(found[name], values), name


@pytest.mark.parametrize("count", [0, 3])
def test_types_of_pandas(count: int) -> None:
    frame = _convert("pandas", _ticks(count, 1))
    assert len(frame) == count
    assert str(frame["exchange_ts_ns"].dtype) == "datetime64[ns, UTC]"
    assert frame["receive_mono_ns"].dtype == np.int64
    assert frame["bid_quantity_4"].dtype == np.uint32
    assert frame["volume_traded"].dtype == np.uint64
    assert frame["mode"].dtype == np.uint8
    local = _convert("pandas", _ticks(count, 1), tz="Asia/Kolkata")["receive_ts_ns"]
    assert str(local.dtype) == "datetime64[ns, Asia/Kolkata]"


@pytest.mark.parametrize("count", [0, 3])
def test_types_of_polars(count: int) -> None:
    polars = _library("polars")
    schema = _convert("polars", _ticks(count, 1), depth="list", tz="Asia/Kolkata").schema
    assert schema["exchange_ts_ns"] == polars.Datetime("ns", "Asia/Kolkata")
    assert schema["bid_price"] == polars.Array(polars.Float64, 5)
    assert schema["bid_orders"] == polars.Array(polars.UInt16, 5)
    assert (schema["mode"], schema["oi"]) == (polars.UInt8, polars.UInt64)
    assert _convert("polars", _ticks(count, 1)).schema["receive_ts_ns"] == polars.Datetime(
        "ns", "UTC"
    )


@pytest.mark.parametrize("count", [0, 3])
def test_types_of_arrow(count: int) -> None:
    arrow = _library("pyarrow")
    schema = _convert("arrow", _ticks(count, 1), depth="list", tz="Asia/Kolkata").schema
    assert schema.field("exchange_ts_ns").type == arrow.timestamp("ns", tz="Asia/Kolkata")
    assert schema.field("bid_price").type == arrow.list_(arrow.float64(), 5)
    assert schema.field("flags").type == arrow.uint32()


@pytest.mark.parametrize("library", BACK)
def test_result_stays_when_the_buffer_is_used_again(library: str) -> None:
    ticks = np.zeros(4, tick_dtype)
    ticks["last_price"] = 12.5
    ticks["bid_price"] = 3.5
    frame = _convert(library, ticks, columns=["last_price", "bid_price"], depth="list")
    ticks["last_price"] = ticks["bid_price"] = 0
    found = BACK[library](frame)
    assert found == {"last_price": [12.5] * 4, "bid_price": [[3.5] * 5] * 4}


@pytest.mark.parametrize("library", BACK)
def test_nan_is_a_price_and_no_null(library: str) -> None:
    ticks = np.zeros(2, tick_dtype)
    ticks["last_price"] = [math.nan, 1.0]
    frame = _convert(library, ticks, columns=["last_price"])
    if library == "polars":
        assert frame["last_price"].null_count() == 0
    elif library == "arrow":
        assert frame.column("last_price").null_count == 0
    assert _same(BACK[library](frame)["last_price"], [math.nan, 1.0])


@pytest.mark.parametrize("library", BACK)
def test_chosen_columns_and_an_unknown_one(library: str) -> None:
    ticks = np.zeros(2, tick_dtype)
    frame = _convert(library, ticks, columns=["last_price", "ask_orders_1"])
    assert list(BACK[library](frame)) == ["last_price", "ask_orders_1"]
    with pytest.raises(ValueError, match="the nearest name is 'last_price'"):
        _convert(library, ticks, columns=["lastprice"])


@pytest.mark.parametrize("library", BACK)
def test_a_missing_package_is_one_sentence(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = PACKAGE[library]

    def nothing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(extras, "import_module", nothing)
    with pytest.raises(pipeline.MissingExtra) as caught:
        getattr(pipeline, f"to_{library}")(np.zeros(1, tick_dtype))
    assert str(caught.value) == (
        f"to_{library} needs the package {package}, which is not installed: "
        f"{extras.install_command(library)}"
    )
    assert isinstance(caught.value, ImportError)


def test_a_package_that_is_broken_says_so_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'pytz'", name="pytz")

    monkeypatch.setattr(extras, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="pytz"):
        pipeline.to_pandas(np.zeros(1, tick_dtype))


def test_no_library_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys, pipeline; pipeline.to_pandas, pipeline.to_polars, pipeline.to_arrow; "
        "print([m for m in ('pandas', 'polars', 'pyarrow') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
