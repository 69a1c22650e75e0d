"""Tell of user code that takes long. Floor 5.

A hosted strategy that is busy harms nobody but itself, so it is reported and never killed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import HostPhase
from pipeline.supervisor.member import Member

#: Each report of the same callback comes after so many times the time of the one before.
GROWTH: Final = 4
_NOTHING: Final = frozenset({HostPhase.NONE, HostPhase.WAITING})

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Report:
    """What was said of a callback: which one, since when it runs, and when to say it again."""

    phase: HostPhase
    since_ns: int
    again_at_ns: int


class CallbackWatch:
    """Looks at the pages of hosted strategies; call `tell` now and then."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        self._reports: dict[int, _Report] = {}

    def tell(self, now_ns: int) -> None:
        """Report what has been running for too long, and what has come to an end."""
        for member in self._members:
            if member.page is None or not member.is_alive:
                self._reports.pop(member.number, None)
                continue
            record = member.page.record
            phase = HostPhase(int(record["phase"]))
            since_ns = int(record["phase_since_mono_ns"])
            report = self._reports.get(member.number)
            if report is not None and report.since_ns != since_ns:
                _log.info(f"{member.name} is back from {report.phase.label}")
                del self._reports[member.number]
                report = None
            if phase in _NOTHING or not since_ns:
                continue
            due_ns = since_ns + int(record["report_after_ns"])
            if now_ns >= (due_ns if report is None else report.again_at_ns):
                self._report(member, phase, since_ns, now_ns)

    def _report(self, member: Member, phase: HostPhase, since_ns: int, now_ns: int) -> None:
        took_ns = now_ns - since_ns
        _log.warning(
            f"{member.name} is in {phase.label} for {took_ns / NS_PER_S:.0f} s: "
            "it is given nothing meanwhile, and nobody else waits for it"
        )
        self._reports[member.number] = _Report(phase, since_ns, since_ns + GROWTH * took_ns)
