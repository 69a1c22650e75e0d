"""No second with more moves than allowed; nothing acted on before it has held."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.clock import NS_PER_S
from pipeline.planning.pacing import MovePacer, Steady

steps = st.lists(st.tuples(st.integers(0, 2 * NS_PER_S), st.integers(0, 500)), max_size=40)


@given(steps=steps)
def test_no_second_has_more_moves_than_allowed(steps: list[tuple[int, int]]) -> None:
    pacer, now_ns, begun = MovePacer(200), 0, []
    for pause_ns, wanted in steps:
        now_ns += pause_ns
        before = pacer.next_ns()
        allowed = pacer.take(now_ns, wanted)
        assert 0 <= allowed <= wanted
        assert allowed or not wanted or now_ns < before
        begun.append((now_ns, allowed))
        assert sum(n for ns, n in begun if now_ns - ns < NS_PER_S) <= 200


def test_a_long_row_of_moves_goes_at_the_full_rate() -> None:
    pacer, left, now_ns = MovePacer(200), 3000, 0
    while left:
        left -= pacer.take(now_ns, left)
        now_ns = max(now_ns, pacer.next_ns())
    assert now_ns == 15 * NS_PER_S


def test_a_fact_is_steady_after_it_has_held_and_not_before() -> None:
    steady = Steady(60)
    assert [steady.observe(at, fact) for at, fact in [(0, 3), (59, 3), (60, 3), (61, 2)]] == [
        False,
        False,
        True,
        False,
    ]
    assert steady.observe(121, 2)
    steady.reset()
    assert not steady.observe(122, 2)
