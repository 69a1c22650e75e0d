"""The screen's figures, for any number of pages at once. Floor 4.

However many look and however often they ask, an instance is looked at twice a second at most, and
not at all while nobody does. The look itself is done in a thread: the loop turns the pool.
Who is shown an owner's part alone gets a document of his own, of the same look.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.errors import PipelineError
from pipeline.services.control.front import Front
from pipeline.services.control.screen.document import pool_document, state_document
from pipeline.services.control.screen.part import part_of, without_counts
from pipeline.services.control.timeline import Timeline
from pipeline.services.status.model import InstanceStatus
from pipeline.services.status.recent import INTERVAL_S, Looks, Recent, take_look

_INTERVAL_NS: Final = round(INTERVAL_S * NS_PER_S)
#: Older looks say nothing of the last seconds: whoever comes then begins a new window.
_STALE_NS: Final = 10 * _INTERVAL_NS
#: A timer may be early, and half a look is none: what is nearly due is due.
_SLACK_NS: Final = NS_PER_S // 50


class Screen:
    """What the pages of one instance show; `pages` are those that are open."""

    def __init__(self, front: Front) -> None:
        self.pages = 0
        self._front = front
        self._timeline = Timeline(front.paths)
        self._looks = Looks()
        self._lock = asyncio.Lock()
        self._taken_ns = 0
        self._seen: tuple[InstanceStatus, Recent] | None = None
        self._unreadable = ""
        self._owners: dict[int, str] = {}
        self._documents: dict[str | None, dict[str, Any]] = {}  # by whose part it is

    async def document(self, after: int = 0, owner: str | None = None) -> dict[str, Any]:
        """Return the state now; of what has happened, the rows after number `after`.

        owner: of what is his, and of what is everybody's, alone.
        """
        async with self._lock:
            if monotonic_ns() - self._taken_ns >= _INTERVAL_NS - _SLACK_NS:
                await self._refresh()
        rows = [
            row.document()
            for row in self._timeline.after(after)
            if owner is None or self._owners.get(row.connection) == owner
        ]
        return {**self._of(owner), "happenings": rows}

    async def _refresh(self) -> None:
        now_ns = monotonic_ns()
        if now_ns - self._taken_ns > _STALE_NS:
            self._looks = Looks()
        self._taken_ns = now_ns
        try:
            look = await asyncio.to_thread(take_look, self._front.paths)
        except PipelineError as error:
            # It ends at this moment, or another build took its place: the page says so.
            self._unreadable = str(error)
            return
        self._unreadable = ""
        self._documents.clear()
        self._seen = look.status, self._looks.add(look)
        self._owners.update((one.number, one.owner) for one in look.status.connections)
        self._timeline.follow(one.number for one in look.status.connections)

    def _of(self, owner: str | None) -> dict[str, Any]:
        """Return the document of the newest look that could be taken."""
        found = self._documents.get(owner)
        if found is None and self._seen is not None:
            found = self._documents[owner] = self._make(*self._seen, owner)
        found = found or {}
        return {**found, "unreadable": self._unreadable} if self._unreadable else found

    def _make(self, status: InstanceStatus, recent: Recent, owner: str | None) -> dict[str, Any]:
        front = self._front
        if owner is not None:
            status = part_of(status, owner, front.config.decoders_of(owner))
        found = state_document(status, recent)
        if owner is not None:
            found["gateway"] = without_counts(found["gateway"])
        return {
            **found,
            "owner": owner,
            "interval_s": INTERVAL_S,
            "pool": pool_document(front.stats(owner), front.health(owner=owner)),
            "alerts": front.alerts(owner),
        }
