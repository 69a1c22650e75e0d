"""What a client may ask of its pool: who wants what, and what carries it. Floor 4; no I/O."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.core.control import MODES, Ask
from pipeline.planning.pool import Want
from pipeline.services.control.pool import Pool
from pipeline.services.control.windows import Windows


class Questions:
    """Answers out of a pool and its windows; `owner` says whose they are."""

    def __init__(self, pool: Pool, windows: Windows, owner: str) -> None:
        self._pool = pool
        self._windows = windows
        self._owner = owner

    def by_name(self) -> Mapping[str, Callable[[Ask], Any]]:
        """Return the questions as `Ask` names them."""
        return {
            "clients": self._clients,
            "subscriptions": self._subscriptions,
            "windows": self._windows_document,
        }

    def _clients(self, request: Ask) -> list[dict[str, Any]]:
        ledger = self._pool.ledger
        return [
            {
                "name": client.name,
                "owner": self._owner,
                "pid": client.pid,
                "connected": client.gone_ns is None and not client.durable,
                "durable": client.durable,
                "instruments": len(wants),
                "modes": _by_mode(wants.values()),
            }
            for client in ledger.clients.values()
            if client.whole is None and (wants := ledger.wants_of(client.name)) is not None
        ]

    def _windows_document(self, request: Ask) -> list[dict[str, Any]]:
        rows = self._windows.document(request.client)
        return [{**row, "owner": self._owner} for row in rows]

    def _subscriptions(self, request: Ask) -> list[dict[str, Any]]:
        pool = self._pool
        wants, orphans = pool.ledger.desired, pool.orphans
        tokens = [token for token in wants if token > request.after]
        if request.client is not None:
            tokens = [t for t in tokens if request.client in pool.ledger.holder_names(t)]
        tokens = heapq.nsmallest(request.limit or len(tokens), tokens)
        return [
            {
                "instrument_token": token,
                "owner": self._owner,
                "mode": want.mode.name.lower(),
                "priority": want.priority.name.lower(),
                "connection": pool.placement.get(token),
                "mirror": pool.assigned.mirrors.get(token),
                "moving_to": pool.moves.targets.get(token),
                "orphaned": token in orphans,
                "unplaced": str(pool.unplaced[token]) if token in pool.unplaced else None,
                "clients": sorted(pool.ledger.holder_names(token)),
            }
            for token, want in ((token, wants[token]) for token in tokens)
        ]


def _by_mode(wants: Iterable[Want]) -> dict[str, int]:
    counts = Counter(want.mode for want in wants)
    return {mode.name.lower(): counts[mode] for mode in MODES.values()}
