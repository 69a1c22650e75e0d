"""Ticks as a pandas or polars data frame, or as an Arrow table. Floor 3.

Each library is optional and imported when its function is first called. The columns are named
and typed as the fields of `pipeline.tick_dtype`; a depth field becomes one column per level
(`bid_price_0` is the best bid) or one column of lists. Times of day (`receive_ts_ns`,
`exchange_ts_ns`, `last_trade_ts_ns`) become aware times in nanoseconds, null where there is none.
What is returned owns its memory: it stays as it is when the ticks' buffer is used again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pipeline.core.extras import import_extra
from pipeline.strategy.columns import UTC_NAME, Column, Depth, gather, zone_name

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


def to_pandas(
    ticks: NDArray[Any], *, columns: Sequence[str] | None = None, depth: Depth = "flat",
    tz: str | tzinfo | None = None,
) -> pandas.DataFrame:  # fmt: skip
    """Return the ticks as a pandas DataFrame, a row each.

    ticks: structured array of `pipeline.tick_dtype`, any length or strides. columns: names, in
    the wanted order; all when None. depth: "flat" makes a column per level, "list" one of arrays.
    tz: the time zone of the times, by name; UTC when None. Times are datetime64[ns, tz], NaT for
    none; NaN prices stay NaN. Each column is copied out of `ticks` once and then belongs to the
    frame. Raises ValueError for an unknown column, MissingExtra without pandas.
    """
    pandas = import_extra("pandas", needed_by="to_pandas")
    zone = zone_name(tz)
    found = {c.name: _pandas_column(pandas, c, zone) for c in gather(ticks, columns, depth)}
    return pandas.DataFrame(found, index=pandas.RangeIndex(ticks.size), copy=False)


def to_polars(
    ticks: NDArray[Any], *, columns: Sequence[str] | None = None, depth: Depth = "flat",
    tz: str | tzinfo | None = None,
) -> polars.DataFrame:  # fmt: skip
    """Return the ticks as a polars DataFrame, a row each.

    Arguments and errors are those of `to_pandas`. Times are Datetime("ns", tz), null for none;
    NaN prices stay NaN; depth="list" gives columns of type Array. The frame owns its memory.
    """
    polars = import_extra("polars", needed_by="to_polars")
    zone = zone_name(tz)
    found = [_polars_column(polars, c, zone) for c in gather(ticks, columns, depth)]
    return polars.DataFrame(found)


def to_arrow(
    ticks: NDArray[Any], *, columns: Sequence[str] | None = None, depth: Depth = "flat",
    tz: str | tzinfo | None = None,
) -> pyarrow.Table:  # fmt: skip
    """Return the ticks as a pyarrow Table, a row each.

    Arguments and errors are those of `to_pandas`. Times are timestamp[ns, tz], null for none; NaN
    prices stay NaN; depth="list" gives fixed-size lists. Each column is copied out of `ticks`
    once; Arrow then holds that copy.
    """
    pyarrow = import_extra("pyarrow", needed_by="to_arrow")
    zone = zone_name(tz)
    found = {c.name: _arrow_column(pyarrow, c, zone) for c in gather(ticks, columns, depth)}
    return pyarrow.table(found)


def _pandas_column(pandas: Any, column: Column, zone: str) -> Any:
    if column.values.ndim > 1:
        return pandas.Series(list(column.values), dtype=object)
    if not column.is_time:
        return column.values
    times = pandas.DatetimeIndex(column.values).tz_localize(UTC_NAME)
    return times if zone == UTC_NAME else times.tz_convert(zone)


def _polars_column(polars: Any, column: Column, zone: str) -> Any:
    series = polars.Series(column.name, column.values)
    if not column.is_time:
        return series
    times = series.dt.replace_time_zone(UTC_NAME)
    return times if zone == UTC_NAME else times.dt.convert_time_zone(zone)


def _arrow_column(pyarrow: Any, column: Column, zone: str) -> Any:
    if column.values.ndim > 1:
        levels = column.values.shape[1]
        return pyarrow.FixedSizeListArray.from_arrays(
            pyarrow.array(column.values.reshape(-1)), levels
        )
    if not column.is_time:
        return pyarrow.array(column.values)
    return pyarrow.array(column.values, type=pyarrow.timestamp("ns", tz=zone))
