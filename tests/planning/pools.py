"""Small pools for the tests of planning, and a check of every limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.core.enums import Mode
from pipeline.planning.policies import Growth, PlacementPolicy, Policy
from pipeline.planning.pool import ConnectionView, KeyView, LimitScope, Plan, PoolView, Want


def wants(count: int, *, first: int = 1, **fields: Any) -> list[Want]:
    """Return so many wants, with tokens from `first` on."""
    return [Want(token, **fields) for token in range(first, first + count)]


def key(account: str = "main", capacity: int = 1000, **fields: Any) -> KeyView:
    """Return a key with connections of so many instruments."""
    return KeyView(account=account, instruments_per_connection=capacity, **fields)


def connections(count: int, *, account: str = "main", first: int = 0, **fields: Any) -> Any:
    """Return so many connections of one account, numbered from `first` on, seated from 0."""
    return tuple(
        ConnectionView(number=first + n, account=account, seat=n, **fields) for n in range(count)
    )


def policy(name: Policy, growth: Growth = Growth.LAZY, **fields: Any) -> PlacementPolicy:
    """Return a policy of a name."""
    return PlacementPolicy(policy=name, growth=growth, **fields)


def counts(placement: Mapping[int, int]) -> list[int]:
    """Return how many instruments each connection has, in the order of their numbers.

    Those that a plan opens come in the order in which they are opened.
    """
    found = Counter(placement.values())
    return [found[number] for number in sorted(found, key=lambda n: (n < 0, abs(n)))]


def applied(pool: PoolView, plan: Plan, asked: Iterable[Want]) -> PoolView:
    """Return the pool after a plan: its connections opened and numbered, its wants placed."""
    next_number = 1 + max((view.number for view in pool.connections), default=-1)
    numbers = {new.ref: next_number + n for n, new in enumerate(plan.open)}
    keys = {view.account: view for view in pool.keys}
    opened = tuple(
        ConnectionView(
            number=numbers[new.ref],
            account=new.account,
            decoder=new.decoder,
            seat=new.seat,
            capacity=keys[new.account].instruments_per_connection,
        )
        for new in plan.open
    )
    refused = {refusal.token for refusal in plan.refused}
    first: dict[int, Want] = {}
    for want in asked:
        first.setdefault(want.instrument_token, want)
    return replace(
        pool,
        connections=pool.connections + opened,
        placement={**pool.placement, **plan.numbered(numbers).assign},
        wants={**pool.wants, **{t: want for t, want in first.items() if t not in refused}},
    )


def exceeded(pool: PoolView) -> list[str]:
    """Return every limit that the placement of a pool exceeds."""
    keys = {view.account: view for view in pool.keys}
    views = {view.number: view for view in pool.connections}
    found = []
    every = [
        pair for places in (pool.placement, pool.moving, pool.mirrors) for pair in places.items()
    ]
    on = Counter(number for _, number in every)
    for view in pool.connections:
        limit = min(view.capacity, keys[view.account].instruments_per_connection)
        if on[view.number] > limit:
            found.append(f"connection {view.number}: {on[view.number]} of {limit}")
    for limits in pool.keys:
        own = [view for view in pool.connections if view.account == limits.account]
        total = sum(on[view.number] for view in own)
        if limits.instruments_per_key is not None and total > limits.instruments_per_key:
            found.append(f"key {limits.account}: {total} of {limits.instruments_per_key}")
        if len(own) > limits.connections_max:
            found.append(f"key {limits.account}: {len(own)} connections")
    modes: dict[object, Counter[Mode]] = {}
    for token, number in every:
        view = views[number]
        by_key = keys[view.account].mode_scope is LimitScope.KEY
        scope = (view.account, None if by_key else number)
        modes.setdefault(scope, Counter())[pool.want(token).mode] += 1
    for scope, by_mode in modes.items():
        limits_of = keys[scope[0]].mode_limits  # type: ignore[index]
        for mode, count in by_mode.items():
            if mode in limits_of:
                most = limits_of[mode].alone if len(by_mode) == 1 else limits_of[mode].combined
                if count > most:
                    found.append(f"{scope}: {count} of {most} in {mode.name}")
    return found


def empty(*keys: KeyView) -> PoolView:
    """Return a pool of these keys, or one, without connections."""
    return PoolView(keys=keys or (key(),))
