"""The histogram in C against the hdrhistogram package, and its buckets one by one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hdrh.histogram import HdrHistogram

from tests.ext.native_build import build

Values = npt.NDArray[np.uint64]

BUCKETS = 2048
LONGEST_NS = 2**37
QUANTILES = (0.0, 0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0)

DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], npt.NDArray[np.float64]]] = {
    "uniform": lambda random, count: random.uniform(0, 1e7, count),
    "log-normal": lambda random, count: random.lognormal(10, 2, count),
    "exponential": lambda random, count: random.exponential(50_000, count),
    "small": lambda random, count: random.uniform(0, 300, count),
    "every-decade": lambda random, count: 10 ** random.uniform(0, 11, count),
    "two-humps": lambda random, count: np.where(
        random.random(count) < 0.99,
        random.normal(20_000, 900, count),
        random.normal(8e6, 1e5, count),
    ),
}


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(build("histogram_library", "library")))
    library.proof_bucket.argtypes = [ctypes.c_uint64]
    library.proof_bucket.restype = ctypes.c_uint32
    library.proof_bucket_value_max.argtypes = [ctypes.c_uint32]
    library.proof_bucket_value_max.restype = ctypes.c_uint64
    library.proof_histogram_bytes.restype = ctypes.c_uint64
    library.proof_record.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64]
    library.proof_record.restype = None
    library.proof_quantile.argtypes = [ctypes.c_void_p, ctypes.c_double]
    library.proof_quantile.restype = ctypes.c_double
    return library


def _record(library: ctypes.CDLL, values: Values) -> Values:
    page = np.zeros(library.proof_histogram_bytes() // 8, np.uint64)
    library.proof_record(page.ctypes.data, values.ctypes.data, len(values))
    return page


def _values(name: str, seed: int, count: int) -> Values:
    drawn = DISTRIBUTIONS[name](np.random.default_rng(seed), count)
    return np.clip(drawn, 0, LONGEST_NS - 1).astype(np.uint64)


def test_buckets_join_without_gap(library: ctypes.CDLL) -> None:
    low = 0
    for bucket in range(BUCKETS):
        high = library.proof_bucket_value_max(bucket)
        assert library.proof_bucket(low) == library.proof_bucket(high) == bucket
        assert high - low <= low / 64
        low = high + 1
    assert low == LONGEST_NS
    assert library.proof_bucket(low) == library.proof_bucket(2**64 - 1) == BUCKETS - 1


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("count", [1, 2, 1000, 50_000])
def test_quantiles_agree_within_a_bucket(library: ctypes.CDLL, name: str, count: int) -> None:
    """Both round up inside their bucket: ours is 1/64 wide, theirs (3 digits) 1/1000."""
    values = _values(name, count, count)
    page = _record(library, values)
    other = HdrHistogram(1, LONGEST_NS, 3)
    for value in values:
        other.record_value(int(value))
    for quantile in QUANTILES:
        ours = library.proof_quantile(page.ctypes.data, quantile)
        theirs = other.get_value_at_percentile(100 * quantile)
        assert theirs * (1 - 1 / 1000) - 1 <= ours <= theirs * (1 + 1 / 64) + 1, (name, quantile)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_quantiles_against_the_sorted_values(library: ctypes.CDLL, name: str) -> None:
    values = _values(name, 7, 20_011)
    page = _record(library, values)
    ordered = np.sort(values).astype(float)
    for quantile in QUANTILES:
        exact = ordered[max(1, int(quantile * len(ordered) + 0.5)) - 1]
        ours = library.proof_quantile(page.ctypes.data, quantile)
        assert exact <= ours <= exact * (1 + 1 / 64), (name, quantile)


def test_totals(library: ctypes.CDLL) -> None:
    values = _values("log-normal", 3, 5000)
    page = _record(library, values)
    assert page[:3].tolist() == [len(values), int(values.sum()), int(values.max())]
    assert int(page[8:].sum()) == len(values)


def test_nothing_recorded(library: ctypes.CDLL) -> None:
    page = _record(library, np.zeros(0, np.uint64))
    assert library.proof_quantile(page.ctypes.data, 0.5) == 0


def test_what_is_longer_than_the_last_bucket(library: ctypes.CDLL) -> None:
    """A suspended machine records hours; the quantile is then the longest value itself."""
    hours = 5 * 3_600_000_000_000
    page = _record(library, np.array([10, hours], np.uint64))
    assert library.proof_quantile(page.ctypes.data, 0.5) == 10
    assert library.proof_quantile(page.ctypes.data, 1.0) == hours
