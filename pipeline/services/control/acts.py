"""What people may have the pool do: rebalance, scale, recycle, drain. Floor 4.

Each answers with what is planned, whether it was begun, and a sentence; what cannot be done is
refused and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.core.clock import monotonic_ns
from pipeline.core.control import AUTOMATIC, Act
from pipeline.planning.pool import Move
from pipeline.services.control.pool import Pool
from pipeline.services.control.refused import Refused
from pipeline.services.control.upkeep import CannotBeDone, NotThere

Action = Callable[[Act], dict[str, Any]]


def actions_of(pool: Pool) -> dict[str, Action]:
    """Return the actions of a pool by name."""
    return {
        "rebalance": lambda request: _rebalance(pool, request),
        "scale": lambda request: _guarded(_scale, pool, request),
        "recycle": lambda request: _guarded(_recycle, pool, request),
        "drain": lambda request: _guarded(_drain, pool, request),
    }


def _guarded(
    act: Callable[[Pool, Act], dict[str, Any]], pool: Pool, request: Act
) -> dict[str, Any]:
    try:
        return act(pool, request)
    except CannotBeDone as refusal:
        code = "not_found" if isinstance(refusal, NotThere) else "conflict"
        counts = {"requested": refusal.requested, "available": refusal.available}
        raise Refused(code, str(refusal), {**counts, "accepted": 0}) from None


def _rebalance(pool: Pool, request: Act) -> dict[str, Any]:
    moves = pool.upkeep.plan_balance()
    if not request.dry_run:
        pool.moves.replace_waiting(moves)
    text = f"{len(moves)} instruments move" if moves else "the pool is in balance"
    return _result(moves, request, text)


def _scale(pool: Pool, request: Act) -> dict[str, Any]:
    if request.connections is None:
        text = f'scale: say how many connections there shall be, or "{AUTOMATIC}"'
        raise Refused("bad_request", text)
    _refuse_dry_run(request)
    if request.connections == AUTOMATIC:
        pool.upkeep.ask_for(None)
        return _result((), request, "as many connections as are needed, from now on")
    change = pool.upkeep.scale(request.connections, monotonic_ns())
    verb = "open" if change > 0 else "close"
    text = f"{abs(change)} connections {verb}" if change else "there are so many already"
    return _result((), request, text)


def _recycle(pool: Pool, request: Act) -> dict[str, Any]:
    _refuse_dry_run(request)
    if request.connection is None and request.account is not None:
        numbers = pool.upkeep.recycle_account(request.account)
        text = f"{len(numbers)} connections of {request.account} will be replaced, one by one"
        return _result((), request, text)
    pool.upkeep.recycle(_connection(request))
    return _result((), request, f"connection {request.connection} will be replaced")


def _drain(pool: Pool, request: Act) -> dict[str, Any]:
    _refuse_dry_run(request)
    count = pool.upkeep.drain(_connection(request))
    text = f"{count} instruments move, then connection {request.connection} closes"
    return _result((), request, text)


def _connection(request: Act) -> int:
    if request.connection is None:
        raise Refused("bad_request", f"{request.action}: say which connection")
    return request.connection


def _refuse_dry_run(request: Act) -> None:
    if request.dry_run:
        raise Refused("bad_request", f"{request.action} has no dry run; rebalance has one")


def _result(moves: Iterable[Move], request: Act, text: str) -> dict[str, Any]:
    counts = Counter((move.source, move.target) for move in moves)
    planned = [
        {"from": source, "to": target, "instruments": count}
        for (source, target), count in sorted(counts.items())
    ]
    return {"planned": planned, "done": not request.dry_run, "text": text}
