"""The orderly end, step by step, with time passed in."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.clock import NS_PER_MS, NS_PER_S
from pipeline.core.enums import Role
from pipeline.supervisor.drain import EXIT_ALLOWANCE_NS, Drain, Order, Stage

S = NS_PER_S
ALL = frozenset({Role.FEED, Role.DECODER, Role.SIMULATOR})
TIMEOUT_NS = 2 * S


def test_feeds_then_decoders_then_the_simulator() -> None:
    drain = Drain(0, timeout_ns=TIMEOUT_NS)
    rest = ALL - {Role.FEED}
    assert drain.step(0, alive=ALL, caught_up=False) == [Order(Role.FEED, SIGTERM)]
    assert drain.step(1, alive=ALL, caught_up=False) == []
    assert drain.step(2, alive=rest, caught_up=False) == []
    assert drain.stage is Stage.CATCH_UP
    assert drain.restarts(Role.DECODER) and not drain.restarts(Role.FEED)
    assert drain.step(3, alive=rest, caught_up=True) == [Order(Role.DECODER, SIGTERM)]
    assert not drain.restarts(Role.DECODER)
    only = frozenset({Role.SIMULATOR})
    assert drain.step(4, alive=only, caught_up=True) == [Order(Role.SIMULATOR, SIGTERM)]
    assert drain.step(5, alive=frozenset(), caught_up=True) == []
    assert drain.stage is Stage.DONE


def test_who_does_not_end_in_time_is_killed_once() -> None:
    drain = Drain(0, timeout_ns=TIMEOUT_NS)
    drain.step(0, alive=ALL, caught_up=False)
    assert drain.step(TIMEOUT_NS - 1, alive=ALL, caught_up=False) == []
    assert drain.step(TIMEOUT_NS, alive=ALL, caught_up=False) == [Order(Role.FEED, SIGKILL)]
    assert drain.step(TIMEOUT_NS + 1, alive=ALL, caught_up=False) == []


def test_a_decoder_that_does_not_catch_up_is_not_waited_for() -> None:
    drain = Drain(0, timeout_ns=TIMEOUT_NS)
    rest = ALL - {Role.FEED}
    drain.step(0, alive=rest, caught_up=False)
    assert drain.step(TIMEOUT_NS, alive=rest, caught_up=False) == [Order(Role.DECODER, SIGTERM)]
    over = TIMEOUT_NS + EXIT_ALLOWANCE_NS
    assert drain.step(over, alive=rest, caught_up=False) == [Order(Role.DECODER, SIGKILL)]


def test_strategies_end_after_all_is_decoded_and_have_their_own_time() -> None:
    drain = Drain(0, timeout_ns=TIMEOUT_NS, strategy_ns=5 * S)
    two = frozenset({Role.STRATEGY, Role.SIMULATOR})
    assert drain.step(0, alive=two, caught_up=True) == [Order(Role.STRATEGY, SIGTERM)]
    assert drain.stage is Stage.STRATEGIES
    assert not drain.restarts(Role.STRATEGY)
    assert drain.step(5 * S - 1, alive=two, caught_up=True) == []
    assert drain.step(5 * S, alive=two, caught_up=True) == [Order(Role.STRATEGY, SIGKILL)]
    rest = frozenset({Role.SIMULATOR})
    assert drain.step(6 * S, alive=rest, caught_up=True) == [Order(Role.SIMULATOR, SIGTERM)]


def test_without_time_everything_is_killed_at_once() -> None:
    drain = Drain(0, timeout_ns=0)
    assert drain.step(0, alive=ALL, caught_up=False) == [
        Order(Role.FEED, SIGTERM),
        Order(Role.FEED, SIGKILL),
    ]


@settings(max_examples=200, deadline=None)
@given(
    deaths=st.dictionaries(
        st.sampled_from([Role.FEED, Role.DECODER, Role.SIMULATOR]), st.integers(0, 6 * S)
    ),
    catches_up_at=st.integers(0, 6 * S),
)
def test_it_always_ends_soon(deaths: dict[Role, int], catches_up_at: int) -> None:
    """Whoever ends late or never by itself: SIGKILL ends it, and all is over in bounded time."""
    drain = Drain(0, timeout_ns=TIMEOUT_NS)
    killed: set[Role] = set()
    asked: list[Role] = []
    for now in range(0, 10 * S, 10 * NS_PER_MS):
        alive = frozenset(
            r for r in ALL if r not in killed and not (r in asked and deaths.get(r, 99 * S) <= now)
        )
        for role, number in drain.step(now, alive=alive, caught_up=now >= catches_up_at):
            if number is SIGTERM:
                asked.append(role)
            else:
                assert role in asked
                killed.add(role)
        if drain.stage is Stage.DONE:
            break
    assert drain.stage is Stage.DONE
    assert now <= TIMEOUT_NS + 2 * EXIT_ALLOWANCE_NS + 50 * NS_PER_MS
    assert asked == [Role.FEED, Role.DECODER, Role.SIMULATOR]
