"""Ticks as columns: which ones, under which names, each contiguous and owned by itself. Floor 3.

Knows no data-frame library; `conversions` hands these columns to one. Records are 320 bytes
apart and lie in somebody else's memory (a reader's buffer, a stream), so each wanted column is
gathered once into an array of its own: what is made of it stays valid however the ticks change.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Any, Final, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from numpy.typing import NDArray

Depth = Literal["flat", "list"]

_TIME_BYTES: Final = 8
#: Fields that are times of day: UTC nanoseconds, 0 for none. Monotonic times are not.
TIMES: Final = frozenset({"receive_ts_ns", "exchange_ts_ns", "last_trade_ts_ns"})
UTC_NAME: Final = "UTC"
#: Files that lie among the time zones, and that not every library takes for one.
_NO_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})


class Column(NamedTuple):
    """One column: an (n,) array, or (n, levels) for a list; `is_time` when datetime64[ns]."""

    name: str
    values: NDArray[Any]
    is_time: bool


class _Source(NamedTuple):
    """Where a column comes from: a field, and a level of it unless it is taken whole."""

    field: str
    level: int | None


def gather(ticks: NDArray[Any], columns: Sequence[str] | None, depth: Depth) -> Iterator[Column]:
    """Yield the wanted columns of `ticks`, each C-contiguous and owning its memory.

    ticks: structured array of `pipeline.tick_dtype` or of more or fewer fields, any shape and
    strides. columns: names, all when None; the name of a depth field stands for its levels.
    Times are datetime64[ns], NaT for 0. Raises ValueError or TypeError, in one sentence.
    """
    _check(ticks, columns, depth)
    records = ticks.reshape(-1)
    sources = _sources(records.dtype, depth)
    for name in _names(records.dtype, columns, sources):
        field, level = sources[name]
        _check_shape(records.dtype, field)
        values = records[field] if level is None else records[field][:, level]
        # np.array: copies even what is contiguous already, for it is not ours.
        owned = np.array(values, dtype=values.dtype.newbyteorder("="), order="C")
        is_time = (
            field in TIMES and owned.dtype.kind in "iu" and owned.dtype.itemsize == _TIME_BYTES
        )
        yield Column(name, _times(owned) if is_time else owned, is_time)


def zone_name(tz: str | tzinfo | None) -> str:
    """Return the IANA name of a time zone, UTC for None; ValueError for what is none."""
    name = UTC_NAME if tz is None else str(tz)
    if name != UTC_NAME:
        try:
            if name in _NO_ZONES:
                raise ZoneInfoNotFoundError
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            mend = "" if available_timezones() else "; this machine has none, pip install tzdata"
            raise ValueError(
                f"tz {name!r}: expected the name of a time zone, such as 'Asia/Kolkata'{mend}"
            ) from None
    return name


def no_ticks(found: str) -> TypeError:
    """Return the error for what holds no ticks."""
    return TypeError(f"ticks: expected a structured array of pipeline.tick_dtype, found {found}")


def described(ticks: object) -> str:
    """Return what was given in place of ticks, in a word or two."""
    return f"dtype {ticks.dtype}" if isinstance(ticks, np.ndarray) else type(ticks).__name__


def _check(ticks: NDArray[Any], columns: Sequence[str] | None, depth: str) -> None:
    if isinstance(ticks, np.void):
        raise no_ticks("one record of it; a slice such as ticks[:1] is an array")
    if not isinstance(ticks, np.ndarray) or ticks.dtype.names is None:
        raise no_ticks(described(ticks))
    if depth not in ("flat", "list"):
        raise ValueError(f'depth {depth!r}: expected "flat" or "list"')
    if isinstance(columns, str):
        raise TypeError(f"columns: expected a list of names; write columns=[{columns!r}]")
    if columns is not None and (isinstance(columns, bytes) or not isinstance(columns, Iterable)):
        raise TypeError(f"columns: expected a list of names, found {type(columns).__name__}")


def _check_shape(dtype: np.dtype[Any], field: str) -> None:
    kind = dtype[field]
    if kind.ndim > 1 or kind.base.names is not None:
        raise ValueError(f"column {field!r}: expected a number or one row of them, found {kind}")


def _sources(dtype: np.dtype[Any], depth: Depth) -> dict[str, _Source]:
    """Return every column that there may be, in the order of the record."""
    found: dict[str, _Source] = {}
    for name in _fields(dtype):
        levels = _levels(dtype, name)
        if levels and depth == "flat":
            found |= {f"{name}_{level}": _Source(name, level) for level in range(levels)}
        else:
            found[name] = _Source(name, None)
    return found


def _fields(dtype: np.dtype[Any]) -> list[str]:
    return [name for name in dtype.names or () if not name.startswith("_")]


def _levels(dtype: np.dtype[Any], field: str) -> int:
    shape = dtype[field].shape
    return shape[0] if shape else 0


def _names(
    dtype: np.dtype[Any], columns: Sequence[str] | None, sources: dict[str, _Source]
) -> list[str]:
    if columns is None:
        return list(sources)
    names: list[str] = []
    fields = _fields(dtype)
    for wanted in columns:
        if not isinstance(wanted, str):
            raise TypeError(f"columns: expected names, found {wanted!r}")
        if wanted in sources:
            names.append(wanted)
        elif wanted in fields:
            names += [name for name, source in sources.items() if source.field == wanted]
        else:
            raise ValueError(_unknown(wanted, [*sources, *fields]))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"column {twice!r} is asked for twice")
    return names


def _unknown(wanted: str, known: list[str]) -> str:
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.0)
    return (
        f"unknown column {wanted!r}: the nearest name is {near[0]!r}"
        if near
        else (f"unknown column {wanted!r}: these records have no columns")
    )


def _times(values: NDArray[np.int64]) -> NDArray[np.datetime64]:
    times = values.view("datetime64[ns]")
    times[values == 0] = np.datetime64("NaT", "ns")
    return times
