"""Where instruments go that cannot stay: a connection is lost, or is to be emptied. Floor 2; pure.

Lost: its instruments go where there is room, the more urgent first; the rest are orphans, which
the plan's refusals name. Drained: they move one by one while it still delivers, which is why
connections that share its decoder are preferred: only among these nothing is interrupted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from pipeline.core.clock import NS_PER_S
from pipeline.planning.placement import place
from pipeline.planning.policies import Growth, PlacementPolicy, Policy
from pipeline.planning.pool import ConnectionView, Move, Plan, PoolView, Priority, Turn, Want

_ANYWHERE: Final = Turn()


@dataclass(frozen=True, kw_only=True, slots=True)
class OutagePolicy:
    """How long a lost connection may take to return before its instruments move."""

    redistribute_after_ns: int = 3 * NS_PER_S
    critical_after_ns: int = 0


class Drain(NamedTuple):
    """How a connection is emptied: the moves, what opens for them, what has nowhere to go."""

    moves: tuple[Move, ...]
    plan: Plan


def judge_outage(policy: OutagePolicy, down_ns: int) -> Priority | None:
    """Return the least priority that moves after so long an outage; None = none does yet."""
    if down_ns >= policy.redistribute_after_ns:
        return Priority.COLD
    return Priority.CRITICAL if down_ns >= policy.critical_after_ns else None


def redistribute(
    lost: Collection[int],
    pool: PoolView,
    policy: PlacementPolicy,
    *,
    least: Priority = Priority.COLD,
    turn: Turn = _ANYWHERE,
    may_open: bool = True,
) -> Plan:
    """Return where the instruments of lost connections go; `refused` are the orphans.

    Only those of at least a priority move (see `judge_outage`). A pin to a lost connection yields
    (`rebalance` brings the instrument back), and so does one to a connection that has been closed
    or replaced; a pin to an account does not. Connections of the
    same decoder come first, then any, then new ones, unless `may_open` is False. What has a second
    half on a connection that is usable stays: that one carries it.
    """
    pool = _without(pool, lost, may_open=may_open)
    wants = _wants_on(lost, pool, policy, least)
    return _move_out(wants, lost, pool, policy, turn)


def drain(
    number: int,
    pool: PoolView,
    policy: PlacementPolicy,
    *,
    to: Collection[int] | None = None,
    may_open: bool = False,
) -> Drain:
    """Return the moves that empty a connection, by `policy`; `plan.refused` have nowhere to go.

    `to` are the only connections that take them (its successor, when it is recycled), None = any.
    Targets that the plan opens are negative references; pins to this connection yield.
    """
    barred = {view.number for view in pool.connections if to is not None and view.number not in to}
    emptied = _without(pool, {number} | barred, may_open=may_open)
    wants = _wants_on((number,), emptied, policy, Priority.COLD)
    plan = _move_out(wants, (number,), emptied, policy, _ANYWHERE)
    return Drain(moves_of(plan, pool), plan)


def send_home(tokens: Collection[int], pool: PoolView, policy: PlacementPolicy) -> Drain:
    """Return the moves of those of these that are not where they are pinned, by `policy`.

    What has nowhere to go stays, and `plan.refused` names it. Left alone is what is under way, on
    two connections, or on one that is lost.
    """
    views = {view.number: view for view in pool.connections if view.usable}
    strays = [
        want
        for token in tokens
        if (number := pool.placement.get(token)) in views
        and token not in pool.moving
        and token not in pool.mirrors
        and _is_elsewhere(want := pool.want(token), views[number])
    ]
    left = {want.instrument_token for want in strays}
    rest = {token: number for token, number in pool.placement.items() if token not in left}
    policy = replace(policy, growth=Growth.LAZY)
    plan = place(strays, replace(pool, placement=rest), policy)
    return Drain(moves_of(plan, pool), plan)


def _is_elsewhere(want: Want, view: ConnectionView) -> bool:
    return want.account not in (None, view.account) or want.connection not in (None, view.number)


def moves_of(plan: Plan, pool: PoolView) -> tuple[Move, ...]:
    """Return the plan's new places of instruments that have one already as moves."""
    decoders = {view.number: view.decoder for view in pool.connections}
    decoders |= {new.ref: new.decoder for new in plan.open}
    return tuple(
        Move(token, source, target, decoders.get(source) != decoders[target])
        for token, target in plan.assign.items()
        if (source := pool.placement.get(token, target)) != target
    )


def _without(pool: PoolView, lost: Collection[int], *, may_open: bool) -> PoolView:
    """Return the pool with connections that may take nothing, and perhaps none to be opened."""
    views = tuple(
        replace(view, usable=False) if view.number in lost else view for view in pool.connections
    )
    keys = pool.keys
    if not may_open:
        keys = tuple(replace(key, may_open=False) for key in keys)
    return replace(pool, connections=views, keys=keys)


def _wants_on(
    lost: Collection[int], pool: PoolView, policy: PlacementPolicy, least: Priority
) -> list[Want]:
    """Return what is on the lost connections, without the pins to them, or to ones long gone."""
    accounts = {view.number: view.account for view in pool.connections}
    standing = accounts.keys() - set(lost)
    manual = policy.policy is Policy.MANUAL
    carried = _carried(lost, pool)
    found = []
    for token, number in pool.placement.items():
        if number in lost and token not in pool.moving and token not in carried:
            want = pool.want(token)
            if want.connection is not None and want.connection not in standing:
                want = want._replace(connection=None)
                if manual:  # which places nothing that is not pinned
                    want = want._replace(account=want.account or accounts.get(number))
            if want.priority >= least:
                found.append(want)
    return found


def _carried(lost: Collection[int], pool: PoolView) -> set[int]:
    """Return what is mirrored on a connection that goes on."""
    usable = {view.number for view in pool.connections if view.usable and not view.draining}
    usable -= set(lost)
    return {token for token, number in pool.mirrors.items() if number in usable}


def _move_out(
    wants: list[Want], lost: Collection[int], pool: PoolView, policy: PlacementPolicy, turn: Turn
) -> Plan:
    # Nothing is opened ahead of need to replace what is lost.
    policy = replace(policy, growth=Growth.LAZY)
    left = {want.instrument_token for want in wants}
    rest = {token: number for token, number in pool.placement.items() if token not in left}
    pool = replace(pool, placement=rest)
    near = _near(lost, pool)
    first = place(wants, near, policy, turn=turn)
    if not first.refused:
        return replace(first, available=place((), pool, policy).available)
    pool = replace(pool, placement=_joined(rest, first.assign), wants=_known(pool, wants))
    found = {want.instrument_token for want in wants} - first.assign.keys()
    again = [want for want in wants if want.instrument_token in found]
    second = place(again, pool, policy, turn=first.turn)
    return replace(
        second,
        assign=_joined(first.assign, second.assign),
        available=second.available + len(first.assign),
    )


def _near(lost: Collection[int], pool: PoolView) -> PoolView:
    """Return the pool with only the connections that share a decoder with the lost ones."""
    decoders = {view.decoder for view in pool.connections if view.number in lost}

    def limit(view: ConnectionView) -> ConnectionView:
        return view if view.decoder in decoders else replace(view, usable=False)

    keys = tuple(replace(key, may_open=False) for key in pool.keys)
    return replace(pool, connections=tuple(map(limit, pool.connections)), keys=keys)


def _joined(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    return {**first, **second}


def _known(pool: PoolView, wants: list[Want]) -> dict[int, Want]:
    return {**pool.wants, **{want.instrument_token: want for want in wants}}
