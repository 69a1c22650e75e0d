"""Members and the rows that they have in the supervisor's page. Floor 5.

A pool's connections come and go, so rows are given out and taken back; a free row has no role.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.core import layout
from pipeline.core.config import Config
from pipeline.core.enums import Role, SegmentKind
from pipeline.core.errors import CapacityError
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.supervisor.member import Member
from pipeline.supervisor.restart import RestartPolicy

_PAGES: Final = {
    Role.SIMULATOR: SegmentKind.SIMULATOR_STATUS,
    Role.DECODER: SegmentKind.DECODER_STATUS,
    Role.FEED: SegmentKind.FEED_STATUS,
    Role.CONTROL: SegmentKind.CONTROL_STATUS,
    Role.STRATEGY: SegmentKind.STRATEGY_STATUS,
    Role.GATEWAY: SegmentKind.GATEWAY_STATUS,
}


class Roster:
    """Makes members; `page` is the supervisor's."""

    def __init__(self, config: Config, paths: InstancePaths, page: StatusPage) -> None:
        self._paths = paths
        self.page = page
        self._policy = RestartPolicy.of(config.supervisor)

    def add(self, role: Role, number: int, label: str = "") -> Member:
        """Return a new member; raise CapacityError when the page has no row left."""
        rows = self.page.record["processes"]
        free = np.flatnonzero(rows["role"] == Role.NONE)
        if not len(free):
            raise CapacityError(f"an instance has at most {layout.supervised_processes} processes")
        place = int(free[0])
        member = Member(
            role,
            number,
            page=self._open_page(role, number),
            row=rows[place : place + 1].reshape(()),
            policy=self._policy,
            label=label,
        )
        count = self.page.record["process_count"]
        self.page.record["process_count"] = max(int(count), place + 1)
        return member

    def remove(self, member: Member) -> None:
        """Give the row of a member without a process to whoever comes next."""
        member.forget()

    def _open_page(self, role: Role, number: int) -> StatusPage | None:
        if role not in _PAGES:
            return None
        path = self._paths.segment(_PAGES[role], number)
        return StatusPage(Segment.attach(path, _PAGES[role], writable=True))
