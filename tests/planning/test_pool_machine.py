"""Any history of a pool: no limit is ever exceeded, and nothing wanted is lost silently.

The machine is a pool manager without processes: it applies each plan at once. Every instrument
is in one of three places at any time: on a connection, among the refused, or among the orphans.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.core.enums import Mode
from pipeline.planning.balance import fair_counts
from pipeline.planning.hashing import Winners, seat_key
from pipeline.planning.placement import place
from pipeline.planning.policies import Growth, PlacementPolicy, Policy
from pipeline.planning.pool import (
    ConnectionView,
    KeyView,
    LimitScope,
    ModeLimit,
    Plan,
    PoolView,
    Priority,
    Turn,
    Want,
)
from pipeline.planning.rebalance import rebalance
from pipeline.planning.redistribution import drain, redistribute
from tests.planning.pools import applied, exceeded

MODES = (Mode.LTP, Mode.QUOTE, Mode.FULL)
ACCOUNTS = ("a", "b", "c")

limits = st.builds(
    lambda alone, part: ModeLimit(alone, alone * part // 4), st.integers(0, 12), st.integers(1, 4)
)
keys = st.builds(
    KeyView,
    account=st.just("a"),
    broker=st.sampled_from(("kite", "other")),
    connections_max=st.integers(0, 3),
    instruments_per_connection=st.integers(1, 8),
    instruments_per_key=st.none() | st.integers(0, 20),
    mode_limits=st.just({}) | st.dictionaries(st.sampled_from(MODES), limits),
    mode_scope=st.sampled_from(LimitScope),
    modes=st.sampled_from((frozenset(MODES), frozenset(MODES[:2]))),
)
policies = st.builds(
    PlacementPolicy,
    policy=st.sampled_from(Policy),
    growth=st.sampled_from(Growth),
    unhealthy_last=st.booleans(),
    routes=st.just({Priority.HOT: ("b", "a"), Priority.COLD: ("other",)}),
)
wanted = st.builds(
    Want,
    instrument_token=st.integers(1, 40),
    mode=st.sampled_from(MODES),
    priority=st.sampled_from(Priority),
    group=st.sampled_from((None, None, "g", "h")),
    account=st.sampled_from((None, None, None, *ACCOUNTS)),
    connection=st.sampled_from((None, None, None, None, 0, 2)),
)


class PoolMachine(RuleBasedStateMachine):
    """Wants come and go, connections fail, return and drain, policies change."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = PoolView()
        self.policy = PlacementPolicy()
        self.turn = Turn()
        self.orphans: set[int] = set()

    @initialize(own=st.lists(keys, min_size=1, max_size=3), decoders=st.integers(1, 2))
    def start(self, own: list[KeyView], decoders: int) -> None:
        named = tuple(replace(key, account=name) for key, name in zip(own, ACCOUNTS, strict=False))
        self.pool = PoolView(keys=named, decoders=range(decoders))

    @rule(policy=policies)
    def choose(self, policy: PlacementPolicy) -> None:
        self.policy = policy

    @rule(asked=st.lists(wanted, max_size=30), all_or_nothing=st.booleans())
    def subscribe(self, asked: list[Want], all_or_nothing: bool) -> None:
        plan = place(asked, self.pool, self.policy, turn=self.turn, all_or_nothing=all_or_nothing)
        tokens = {want.instrument_token for want in asked}
        self._accounted(plan, tokens - self.pool.placement.keys(), tokens)
        if all_or_nothing and plan.refused:
            assert not plan.assign
            assert not plan.open
            assert plan.turn == self.turn
        if self.policy.policy is Policy.FIRST_FIT and not all_or_nothing:
            self._packed(plan)
        self._take(plan, asked)
        self.orphans -= plan.assign.keys()

    @rule(tokens=st.sets(st.integers(1, 40)))
    def unsubscribe(self, tokens: set[int]) -> None:
        left = {t: n for t, n in self.pool.placement.items() if t not in tokens}
        known = {t: want for t, want in self.pool.wants.items() if t not in tokens}
        self.pool = replace(self.pool, placement=left, wants=known)
        self.orphans -= tokens

    @rule(data=st.data(), usable=st.booleans(), health=st.floats(0, 100))
    @precondition(lambda self: self.pool.connections)
    def change(self, data: st.DataObject, usable: bool, health: float) -> None:
        view = data.draw(st.sampled_from(self.pool.connections))
        rate = data.draw(st.floats(0, 1e6))
        self._replace(replace(view, usable=usable, health=health, byte_rate_per_s=rate))

    @rule(data=st.data(), may_open=st.booleans())
    def limit(self, data: st.DataObject, may_open: bool) -> None:
        key = data.draw(st.sampled_from(self.pool.keys))
        changed = tuple(replace(k, may_open=may_open) if k is key else k for k in self.pool.keys)
        self.pool = replace(self.pool, keys=changed)

    @rule(data=st.data(), least=st.sampled_from(Priority), may_open=st.booleans())
    @precondition(lambda self: self.pool.connections)
    def lose(self, data: st.DataObject, least: Priority, may_open: bool) -> None:
        view = data.draw(st.sampled_from(self.pool.connections))
        self._replace(replace(view, usable=False))
        on = self._on(view.number)
        due = {token for token in on if self.pool.want(token).priority >= least}
        plan = redistribute(
            {view.number}, self.pool, self.policy,
            least=least, turn=self.turn, may_open=may_open,
        )  # fmt: skip
        self._accounted(plan, due, due)
        assert may_open or not plan.open
        assert view.number not in plan.assign.values()
        if plan.refused:
            # Nobody is left behind for one who is less urgent, unless a limit of his own says so.
            self._urgent_first(plan)
        orphans = {refusal.token for refusal in plan.refused}
        kept = {t: n for t, n in self.pool.placement.items() if t not in orphans}
        self.pool = replace(self.pool, placement=kept)
        self._take(plan, [])
        self.orphans |= orphans

    @rule(data=st.data())
    @precondition(lambda self: self.pool.connections)
    def shrink(self, data: st.DataObject) -> None:
        view = data.draw(st.sampled_from(self.pool.connections))
        self._replace(replace(view, draining=True))
        moves, plan = drain(view.number, self.pool, self.policy)
        on = self._on(view.number)
        self._accounted(plan, on, on)
        decoders = {other.number: other.decoder for other in self.pool.connections}
        for move in moves:
            assert move.source == view.number
            crosses = decoders[move.source] != decoders[move.target]
            assert move.break_before_make is crosses
        self._take(plan, [])
        if not plan.refused:
            left = tuple(v for v in self.pool.connections if v.number != view.number)
            self.pool = replace(self.pool, connections=left)
        else:
            self._replace(view)

    @rule(across=st.booleans())
    def even_out(self, across: bool) -> None:
        decoders = {view.number: view.decoder for view in self.pool.connections}
        moves = rebalance(self.pool, self.policy, across_decoders=across)
        assert len({move.token for move in moves}) == len(moves)
        for move in moves:
            assert self.pool.placement[move.token] == move.source
            crosses = decoders[move.source] != decoders[move.target]
            assert move.break_before_make is crosses
            assert across or not crosses
            if not crosses:
                under_way = replace(self.pool, moving={move.token: move.target})
                assert exceeded(under_way) == []
            placement = {**self.pool.placement, move.token: move.target}
            self.pool = replace(self.pool, placement=placement)
            assert exceeded(self.pool) == []
        self._balanced(across)

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        assert exceeded(self.pool) == []

    @invariant()
    def what_is_placed_is_on_a_connection(self) -> None:
        assert set(self.pool.placement.values()) <= {v.number for v in self.pool.connections}
        assert not self.orphans & self.pool.placement.keys()

    def _on(self, number: int) -> set[int]:
        return {token for token, place in self.pool.placement.items() if place == number}

    def _replace(self, view: ConnectionView) -> None:
        views = tuple(view if v.number == view.number else v for v in self.pool.connections)
        self.pool = replace(self.pool, connections=views)

    def _take(self, plan: Plan, asked: list[Want]) -> None:
        self.pool = applied(self.pool, plan, asked)
        start = max((view.number for view in self.pool.connections), default=-1)
        first = start - len(plan.open) + 1
        self.turn = plan.numbered({new.ref: first + n for n, new in enumerate(plan.open)}).turn

    def _accounted(self, plan: Plan, new: set[int], asked: set[int]) -> None:
        """Each is placed or refused with a reason; what has a place is counted as kept."""
        refused = [refusal.token for refusal in plan.refused]
        assert len(refused) == len(set(refused))
        assert not plan.assign.keys() & set(refused)
        assert plan.assign.keys() <= new
        assert new <= plan.assign.keys() | set(refused)
        assert set(refused) <= asked
        assert plan.requested == len(asked)
        refs = {new_one.ref for new_one in plan.open}
        views = {view.number: view for view in self.pool.connections}
        for number in plan.assign.values():
            assert number in refs or (views[number].usable and not views[number].draining)

    def _packed(self, plan: Plan) -> None:
        """First fit opens a connection only for what it then puts there."""
        if self.policy.growth is Growth.LAZY:
            assert {new.ref for new in plan.open} <= set(plan.assign.values())

    def _urgent_first(self, plan: Plan) -> None:
        def kind(token: int) -> tuple[object, ...]:
            want = self.pool.want(token)
            route = want.priority if self.policy.policy is Policy.CLASS_ROUTE else None
            return want.mode, want.group, want.account, want.connection, route

        # Connections that share the decoder come first, for all; within one step all are ordered.
        if len({view.decoder for view in self.pool.connections}) > 1 or len(self.pool.decoders) > 1:
            return
        for refusal in plan.refused:
            rivals = [t for t in plan.assign if kind(t) == kind(refusal.token)]
            own = self.pool.want(refusal.token).priority
            assert all(self.pool.want(token).priority >= own for token in rivals)

    def _balanced(self, across: bool) -> None:
        """Equal counts, where nothing but the count decides."""
        views = [v for v in self.pool.connections if v.usable and not v.draining and v.health >= 50]
        known = self.pool.wants.values()
        plain = not any(w.account or w.connection is not None or w.group for w in known)
        same = len({v.account for v in views}) == 1 and len({v.decoder for v in views}) == 1
        limited = any(k.mode_limits or k.instruments_per_key is not None for k in self.pool.keys)
        if not plain or not same or limited:
            return
        found = Counter(self.pool.placement.values())
        sizes = [found[view.number] for view in views]
        if self.policy.policy is Policy.ROUND_ROBIN:
            assert max(sizes) - min(sizes) <= 1
        elif self.policy.policy in (Policy.LEAST_LOADED, Policy.AFFINITY):
            fair = fair_counts(sizes, [view.capacity for view in views], by_fill=True)
            assert fair == tuple(sizes)
        elif self.policy.policy is Policy.HASH:
            self._belongs(views, found)

    def _belongs(self, views: list[ConnectionView], found: Counter[int]) -> None:
        """Each is where it belongs, or there is no room."""
        numbers = {view.number for view in views}
        tokens = [t for t, number in self.pool.placement.items() if number in numbers]
        winners = Winners(tokens)
        for view in views:
            place = view.number if view.seat is None else view.seat
            winners.add(seat_key(view.account, place))
        for token in tokens:
            own = views[winners.winner(token)]
            assert self.pool.placement[token] == own.number or found[own.number] == own.capacity


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestPoolMachine = PoolMachine.TestCase


@pytest.mark.full
@pytest.mark.timeout(1800)
class TestManyPools(PoolMachine.TestCase):
    """The same with many more histories."""

    settings = settings(max_examples=1500, stateful_step_count=40, deadline=None)
