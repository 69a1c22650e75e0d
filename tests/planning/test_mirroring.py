"""Second halves: never beside the first, never over a limit, and first to go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.core.enums import Mode
from pipeline.planning.mirroring import crowded_out, foresee, mirror
from pipeline.planning.placement import place
from pipeline.planning.policies import Policy
from pipeline.planning.pool import (
    ConnectionView,
    KeyView,
    ModeLimit,
    Plan,
    PoolView,
    Priority,
    Want,
    Why,
)
from pipeline.planning.rebalance import rebalance
from pipeline.planning.redistribution import drain, redistribute
from pipeline.planning.scaling import History, ScalingPolicy, judge_scaling
from tests.planning.pools import applied, connections, exceeded, key, policy, wants
from tests.planning.test_pool_machine import ACCOUNTS, keys, policies, wanted

LEAST = policy(Policy.LEAST_LOADED)


def carrying(count: int, number: int = 0, **fields: object) -> PoolView:
    """Return a pool in which a connection carries so many instruments, from token 1 on."""
    found = PoolView(
        placement=dict.fromkeys(range(1, count + 1), number),
        wants={want.instrument_token: want for want in wants(count)},
    )
    return replace(found, **fields)  # type: ignore[arg-type]


def test_another_account_comes_before_another_connection_of_the_same() -> None:
    two = (*connections(2), *connections(1, account="other", first=2))
    pool = carrying(3, connections=two, keys=(key(), key("other")))
    assert dict(mirror([1, 2, 3], pool, LEAST).assign) == {1: 2, 2: 2, 3: 2}
    alone = replace(pool, connections=two[:2], keys=(key(),))
    assert dict(mirror([1], alone, LEAST).assign) == {1: 1}


def test_where_there_is_none_one_opens_on_the_same_decoder() -> None:
    pool = carrying(2, connections=connections(1, decoder=1), keys=(key(),), decoders=range(2))
    plan = mirror([1, 2], pool, LEAST)
    assert [new.decoder for new in plan.open] == [1] and dict(plan.assign) == {1: -1, 2: -1}
    full = replace(pool, keys=(key(connections_max=1),))
    assert [refusal.why for refusal in mirror([1], full, LEAST).refused] == [Why.NO_CONNECTION]


def test_a_connection_of_another_decoder_is_none() -> None:
    views = (*connections(1), ConnectionView(number=1, account="main", decoder=1))
    pool = carrying(1, connections=views, keys=(key(connections_max=2),))
    assert [refusal.why for refusal in mirror([1], pool, LEAST).refused] == [Why.NO_CONNECTION]


def test_the_urgent_have_what_room_there_is() -> None:
    views = (*connections(1), ConnectionView(number=1, account="main", capacity=1))
    pool = carrying(3, connections=views, keys=(key(connections_max=2),))
    pool = replace(pool, wants={**pool.wants, 2: Want(2, priority=Priority.CRITICAL)})
    plan = mirror([1, 2, 3], pool, LEAST)
    assert dict(plan.assign) == {2: 1}
    assert {refusal.why for refusal in plan.refused} == {Why.CAPACITY}


def test_a_pin_to_an_account_and_a_route_hold_for_both_halves() -> None:
    views = (*connections(2), *connections(1, account="other", first=2))
    pool = carrying(2, connections=views, keys=(key(), key("other")))
    pinned = {1: Want(1, account="main"), 2: Want(2, priority=Priority.HOT)}
    pool = replace(pool, wants=pinned)
    routed = policy(Policy.CLASS_ROUTE, routes={Priority.HOT: ("main",)})
    assert dict(mirror([1, 2], pool, routed).assign) == {1: 1, 2: 1}


def test_a_new_place_for_a_half_is_a_third_connection() -> None:
    pool = carrying(1, connections=connections(3), keys=(key(),), mirrors={1: 1})
    assert dict(mirror([1], pool, LEAST).assign) == {1: 2}
    assert dict(mirror([1], replace(pool, moving={1: 2}), LEAST, may_open=False).assign) == {}


def test_what_has_no_other_place_takes_a_second_half_s() -> None:
    keys = (key(capacity=2, connections_max=2),)
    pool = carrying(2, connections=connections(2, capacity=2), keys=keys, mirrors={1: 1, 2: 1})
    plan = place(wants(1, first=9), pool, LEAST)
    assert dict(plan.assign) == {9: 1}
    after = applied(pool, plan, wants(1, first=9))
    assert crowded_out(after, LEAST) == [2]  # and one of them stays
    assert not exceeded(replace(after, mirrors={1: 1}))


def test_limits_of_modes_hold_for_both_halves() -> None:
    limited = key(mode_limits={Mode.QUOTE: ModeLimit(alone=2, combined=1)}, connections_max=2)
    pool = carrying(2, connections=connections(2), keys=(limited,), mirrors={1: 1, 2: 1})
    assert [r.why for r in place(wants(1, first=3), pool, LEAST).refused] == []
    crowded = replace(pool, placement={**pool.placement, 3: 1}, wants={**pool.wants, 3: Want(3)})
    assert crowded_out(crowded, LEAST) == [2]


def test_a_lost_connection_leaves_what_another_carries_too() -> None:
    pool = carrying(2, connections=connections(3), keys=(key(),), mirrors={1: 1})
    assert dict(redistribute((0,), pool, LEAST).assign).keys() == {2}
    assert dict(redistribute((0, 1), pool, LEAST).assign) == {1: 2, 2: 2}
    assert [move.token for move in drain(0, pool, LEAST).moves] == [2]


@pytest.mark.parametrize(
    ("accounts", "closed"), [("main", 2), ("other", None)], ids=["the same", "another account"]
)
def test_a_connection_that_nothing_can_follow_is_not_closed(
    accounts: str, closed: int | None
) -> None:
    views = (*connections(2), *connections(1, account=accounts, first=2))
    keys = (key(),) if accounts == "main" else (key(), key("other"))
    pool = carrying(4, connections=views, keys=keys, mirrors={1: 2})
    pool = replace(pool, placement={**pool.placement, 3: 1, 4: 1})
    scaling, history = ScalingPolicy(shrink_hold_ns=0), History()
    found = judge_scaling(pool, LEAST, scaling, history, now_ns=1, wall_ts_ns=0)
    assert [closing.number for closing in found.close] == ([] if closed is None else [closed])
    assert [c.number for c in judge_scaling(
        replace(pool, mirrors={}), LEAST, scaling, history, now_ns=1, wall_ts_ns=0
    ).close] == [2]  # fmt: skip


def test_what_would_be_opened_has_one_reference() -> None:
    pool = PoolView(keys=(key(capacity=2, connections_max=4),))
    plan = place(wants(4), pool, LEAST)
    seconds = foresee([1, 2, 3], plan, replace(pool, wants={w[0]: w for w in wants(4)}), LEAST)
    assert len(plan.open) == 2 and dict(seconds.assign) == {1: -3, 2: -3, 3: -4}
    assert [new.ref for new in seconds.open] == [-3, -4]
    assert [new.seat for new in seconds.open] == [2, 3]


class MirrorMachine(RuleBasedStateMachine):
    """Wants and connections come and go; what is placed is mirrored as far as there is room."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = PoolView()
        self.policy = LEAST

    @initialize(own=st.lists(keys, min_size=1, max_size=3), decoders=st.integers(1, 2))
    def start(self, own: list[KeyView], decoders: int) -> None:
        named = tuple(replace(key, account=name) for key, name in zip(own, ACCOUNTS, strict=False))
        self.pool = PoolView(keys=named, decoders=range(decoders))

    @rule(policy=policies)
    def choose(self, policy: object) -> None:
        self.policy = policy  # type: ignore[assignment]

    @rule(asked=st.lists(wanted, max_size=30))
    def subscribe(self, asked: list[Want]) -> None:
        plan = place(asked, self.pool, self.policy)
        alone = place(asked, replace(self.pool, mirrors={}), self.policy)
        assert len(plan.refused) <= len(alone.refused)  # no mirror costs anybody his place
        self._take(plan, asked)

    @rule(tokens=st.sets(st.integers(1, 40)))
    def unsubscribe(self, tokens: set[int]) -> None:
        pool = self.pool
        self.pool = replace(
            pool,
            placement={t: number for t, number in pool.placement.items() if t not in tokens},
            wants={t: want for t, want in pool.wants.items() if t not in tokens},
            mirrors={t: number for t, number in pool.mirrors.items() if t not in tokens},
        )

    @rule(tokens=st.sets(st.integers(1, 40)), may_open=st.booleans())
    def mirror(self, tokens: set[int], may_open: bool) -> None:
        plan = mirror(tokens, self.pool, self.policy, may_open=may_open)
        assert plan.assign.keys() | {r.token for r in plan.refused} == tokens
        assert may_open or not plan.open
        again = {token for token in plan.assign if token in self.pool.mirrors}
        assert all(plan.assign[token] != self.pool.mirrors[token] for token in again)
        opened = applied(self.pool, replace(plan, assign={}), ())
        top = max((view.number for view in self.pool.connections), default=-1) + 1
        numbers = {new.ref: top + n for n, new in enumerate(plan.open)}
        self.pool = replace(opened, mirrors={**opened.mirrors, **plan.numbered(numbers).assign})

    @rule(data=st.data(), usable=st.booleans(), health=st.floats(0, 100))
    @precondition(lambda self: self.pool.connections)
    def change(self, data: st.DataObject, usable: bool, health: float) -> None:
        view = data.draw(st.sampled_from(self.pool.connections))
        changed = replace(view, usable=usable, health=health)
        views = tuple(changed if v is view else v for v in self.pool.connections)
        self.pool = replace(self.pool, connections=views)

    @rule(data=st.data(), drains=st.booleans())
    @precondition(lambda self: self.pool.connections)
    def lose(self, data: st.DataObject, drains: bool) -> None:
        number = data.draw(st.sampled_from(self.pool.connections)).number
        if drains:
            plan = drain(number, self.pool, self.policy).plan
        else:
            plan = redistribute({number}, self.pool, self.policy)
        carried = {
            token for token, second in self.pool.mirrors.items()
            if (view := self.pool.connection(second)) and view.usable and second != number
        }  # fmt: skip
        assert carried.isdisjoint(plan.assign)
        self._take(plan, ())

    @rule()
    def balance(self) -> None:
        for move in rebalance(self.pool, self.policy):
            assert self.pool.mirrors.get(move.token) != move.target
            placement = {**self.pool.placement, move.token: move.target}
            self.pool = replace(self.pool, placement=placement)
            assert not exceeded(self.pool)

    def _take(self, plan: Plan, asked: object) -> None:
        """Do what a plan says; then second halves give way, and no more of them than have to."""
        pool = applied(self.pool, plan, asked)  # type: ignore[arg-type]
        decoders = {view.number: view.decoder for view in pool.connections}
        kept = {
            token: number for token, number in pool.mirrors.items()
            if decoders[number] == decoders[pool.placement[token]]
            and number != pool.placement[token]
        }  # fmt: skip
        pool = replace(pool, mirrors=kept)
        gone = set(crowded_out(pool, self.policy))
        assert not gone or exceeded(pool)
        self.pool = replace(pool, mirrors={t: n for t, n in kept.items() if t not in gone})

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        assert not exceeded(self.pool), exceeded(self.pool)

    @invariant()
    def halves_are_apart_and_share_a_decoder(self) -> None:
        decoders = {view.number: view.decoder for view in self.pool.connections}
        for token, second in self.pool.mirrors.items():
            first = self.pool.placement[token]
            assert first != second and decoders[first] == decoders[second]


MirrorMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestMirrorMachine = MirrorMachine.TestCase


@pytest.mark.full
@pytest.mark.timeout(1800)
class TestManyMirrors(MirrorMachine.TestCase):
    """The same with many more histories."""

    settings = settings(max_examples=500, stateful_step_count=40, deadline=None)
