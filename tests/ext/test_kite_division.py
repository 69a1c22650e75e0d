"""The division without a division is exact: every 32-bit integer, every divisor."""

from __future__ import annotations

import pytest

from tests.ext.native_build import Mutation, prove, run

DIVISORS = 3
PROOF = "division_proof"


def compared(stride: int) -> int:
    count = prove(PROOF, {"stride": stride})["compared"]
    if count == 0:
        pytest.skip("no AVX-512 on this processor: the vector division cannot be tried")
    return count


def test_every_hundredth_integer() -> None:
    assert compared(stride=101) > DIVISORS * 2**32 // 102


@pytest.mark.full
@pytest.mark.timeout(900)
def test_every_integer() -> None:
    assert compared(stride=1) >= DIVISORS * 2**32


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return _mm512_fmadd_pd(rest, reciprocal, quotient);", "(void)rest; return quotient;"),
        ("_mm512_fnmadd_pd(quotient, divisor, dividend)", "_mm512_setzero_pd()"),
    ],
)
def test_the_proof_sees_a_division_that_is_not_exact(old: str, new: str) -> None:
    compared(stride=10_007)
    outcome = run(PROOF, {"stride": 10_007}, mutation=Mutation("kite_avx512.h", old, new))
    assert outcome.code == 1
    assert "not the exact quotient" in outcome.complaint
