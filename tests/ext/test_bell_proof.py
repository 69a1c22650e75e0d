"""The bell in C: no wake-up is lost, whoever rings and whoever sleeps."""

from __future__ import annotations

import pytest

from tests.ext.native_build import Mutation, prove, run

CROWDS = [
    pytest.param({"producers": 1, "consumers": 1, "rounds": 20_000}, id="one-to-one"),
    pytest.param({"producers": 1, "consumers": 3, "rounds": 5000}, id="one-to-many"),
    pytest.param({"producers": 3, "consumers": 2, "rounds": 5000}, id="many-to-many"),
    pytest.param({"producers": 2, "consumers": 2, "rounds": 5000, "nap_ns": 2000}, id="naps"),
]


@pytest.mark.parametrize("crowd", CROWDS)
def test_no_wake_up_is_lost(crowd: dict[str, int]) -> None:
    """A wait ends by a ring in every round; the 30 s timeout is the detector."""
    numbers = prove("bell_proof", crowd)
    assert numbers["sleeps"] > 0, "nobody ever slept, so nothing was proved"


def test_bell_that_wakes_nobody_is_found_out() -> None:
    wake = "syscall(SYS_futex, &bell->word, FUTEX_WAKE, 0x7fffffff, 0, 0, 0);"
    mutation = Mutation("bell.h", wake, ";")
    outcome = run("bell_proof", {"timeout_s": 1, "deadline": 60}, mutation=mutation)
    assert "lost wake-up" in outcome.complaint


def test_nap_that_looks_at_the_bell_anew_is_found_out() -> None:
    """It sleeps through a ring that came between two naps: naps are taken in this proof."""
    mutation = Mutation("bell.h", "rung = bell_sleep(bell, seen, naps_slice",
                        "rung = bell_sleep(bell, bell_look(bell), naps_slice")  # fmt: skip
    options = {"timeout_s": 1, "deadline": 60, "nap_ns": 2000, "rounds": 200_000}
    assert "lost wake-up" in run("bell_proof", options, mutation=mutation).complaint


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("crowd", CROWDS)
def test_many_rounds(crowd: dict[str, int]) -> None:
    # Naps cost a timer each: on a virtual machine a round of them takes up to 2 ms.
    rounds = 20_000 if "nap_ns" in crowd else 100_000
    prove("bell_proof", crowd | {"rounds": rounds, "deadline": 500})
