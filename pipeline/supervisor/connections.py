"""The connections of an instance, each from wanted to gone. Floor 5; no step waits.

    (wanted) -> running -> ending -> catching up -> leaving -> (gone)

The topology table says which ones there shall be; the control process is its one writer. What is
new gets its segments, a line in the manifest and a feed. What is no longer wanted loses its feed;
when its decoder has brought out all that came (or after 3 s) it leaves the manifest, and when the
decoder has seen that, its files go. Numbers are never used again. Where the config names the
connections there is no table, and they run to the end.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np

from ext.cells import Bell
from pipeline.core import layout
from pipeline.core.clock import NS_PER_S
from pipeline.core.config import Config
from pipeline.core.enums import Role, SegmentKind
from pipeline.core.errors import CapacityError, SegmentError, ShmFull
from pipeline.core.plan import ConnectionPlan, Topology, plan_connection
from pipeline.shm.instance import InstanceFile, ManifestEntry
from pipeline.shm.names import OF_CONNECTIONS
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.shm.tables import TopologyTable
from pipeline.supervisor import establish
from pipeline.supervisor.backlog import Backlog
from pipeline.supervisor.crew import Crew
from pipeline.supervisor.drain import EXIT_ALLOWANCE_NS
from pipeline.supervisor.member import Member
from pipeline.supervisor.roster import Roster

CATCH_UP_NS: Final = 3 * NS_PER_S
RETRY_NS: Final = 10 * NS_PER_S
#: So long after its last step but one a connection's end is looked for at every short turn.
BUSY_NS: Final = 2 * CATCH_UP_NS

_log = logging.getLogger(__name__)


class Step(Enum):
    """How far a connection is on its way."""

    RUNNING = "running"
    ENDING = "ending"
    CATCHING_UP = "catching up"
    LEAVING = "leaving"


@dataclass
class _Connection:
    plan: ConnectionPlan
    member: Member
    step: Step = Step.RUNNING
    since_ns: int = 0
    backlog: Backlog | None = None
    entries: Sequence[ManifestEntry] = ()  # that have left the manifest
    manifest_version: int = 0  # of the first manifest without them


class Connections:
    """Keeps what runs in step with what is wanted; call `step` at every turn.

    `pages` are the feeds' status pages, always the same list.
    """

    def __init__(
        self, config: Config, topology: Topology, instance: InstanceFile, roster: Roster
    ) -> None:
        self.pages: list[StatusPage] = []
        self._config = config
        self._instance = instance
        self._roster = roster
        self._slots = {decoder.number: decoder.slots for decoder in topology.decoders}
        self._at_start = topology.connections
        self._connections: dict[int, _Connection] = {}
        self._table = self._attach_table() if topology.pooled else None
        self._version = 0
        self._next_number = 0
        self._is_busy = False
        self._failed_ns: dict[int, int] = {}  # when to try again what could not be made
        self._decoder_pages: dict[int, StatusPage] = {}

    def _attach_table(self) -> TopologyTable:
        path = self._instance.paths.segment(SegmentKind.TOPOLOGY)
        return TopologyTable(Segment.attach(path, SegmentKind.TOPOLOGY))

    def members_at_start(self) -> list[Member]:
        """Return the feeds of the connections that the config names."""
        return [self._run(plan) for plan in self._at_start]

    def plan(self, number: int) -> ConnectionPlan:
        """Return the plan of a connection that is not gone yet."""
        return self._connections[number].plan

    def plans(self) -> list[ConnectionPlan]:
        """Return the plans of all connections that are not gone yet."""
        return [connection.plan for connection in self._connections.values()]

    def is_ending(self, number: int) -> bool:
        """Whether a connection's feed is not wanted any more."""
        return self._connections[number].step is not Step.RUNNING

    @property
    def is_busy(self) -> bool:
        """Whether some connection is on its way out, so that the next turn should come soon.

        Not for long: a decoder that has been given up does not see what leaves the manifest.
        """
        return self._is_busy

    def step(self, now_ns: int, crew: Crew) -> None:
        """Bring every connection one step on, where it can be."""
        if self._table is not None:
            self._follow(self._table, now_ns, crew)
        for connection in list(self._connections.values()):
            _STEPS[connection.step](self, connection, now_ns, crew)
        self._is_busy = any(
            connection.step is not Step.RUNNING and now_ns - connection.since_ns < BUSY_NS
            for connection in self._connections.values()
        )

    # ---- wanted -----------------------------------------------------------------------------

    def _follow(self, table: TopologyTable, now_ns: int, crew: Crew) -> None:
        retry = any(now_ns >= at_ns for at_ns in self._failed_ns.values())
        if table.version == self._version and not retry:
            return
        self._version, rows = table.read()
        wanted = {int(row["number"]): row for row in rows if row["wanted"]}
        self._failed_ns = {n: at_ns for n, at_ns in self._failed_ns.items() if n in wanted}
        for number, connection in self._connections.items():
            if number not in wanted and connection.step is Step.RUNNING:
                self._end(connection, now_ns, crew)
        for number in sorted(wanted.keys() - self._connections.keys()):
            if now_ns >= self._failed_ns.get(number, 0):
                self._open(wanted[number], number, now_ns, crew)

    def _open(self, row: np.ndarray[Any, Any], number: int, now_ns: int, crew: Crew) -> None:
        if number < self._next_number and number not in self._failed_ns:
            return  # it has been there; its number is not used again
        self._next_number = max(self._next_number, number + 1)
        try:
            plan = self._plan_of(row, number)
            entries = establish.make_connection(
                self._instance, plan, slots=self._slots[plan.decoder]
            )
            member = self._run_or_unlink(plan, entries)
        except (ShmFull, SegmentError, CapacityError) as error:
            self._failed_ns[number] = now_ns + RETRY_NS
            _log.error(f"connection {number} cannot be made, next try in 10 s: {error}")
            return
        self._failed_ns.pop(number, None)
        self._publish([*self._instance.manifest, *entries], plan.decoder)
        crew.members.append(member)
        _log.info(f"connection {number}: opened on account {plan.account.name}")

    def _plan_of(self, row: np.ndarray[Any, Any], number: int) -> ConnectionPlan:
        pool = self._config.pool
        assert pool is not None and pool.instruments_per_connection is not None
        account, decoder = int(row["account"]), int(row["decoder"])
        instruments = int(row["instruments_max"])
        if account >= len(self._config.accounts) or decoder not in self._slots:
            raise CapacityError(f"account {account} or decoder {decoder} does not exist")
        owner = self._config.accounts[account].owner
        if decoder not in self._config.decoders_of(owner):
            raise CapacityError(f"decoder {decoder} is none of {owner}'s, whose account this is")
        if not 1 <= instruments <= pool.instruments_per_connection:
            raise CapacityError(
                f"{instruments} instruments, allowed are 1 to {pool.instruments_per_connection}"
            )
        return plan_connection(
            self._config, number, account=account, decoder=decoder, instruments_max=instruments
        )

    def _run_or_unlink(self, plan: ConnectionPlan, entries: list[ManifestEntry]) -> Member:
        try:
            return self._run(plan)
        except CapacityError:
            establish.unlink_segments(self._instance.paths, entries)
            raise

    def _run(self, plan: ConnectionPlan) -> Member:
        member = self._roster.add(Role.FEED, plan.number)
        self._connections[plan.number] = _Connection(plan, member)
        assert member.page is not None
        self.pages.append(member.page)
        return member

    def _publish(self, entries: list[ManifestEntry], decoder: int) -> None:
        self._instance.set_manifest(entries)
        path = self._instance.paths.segment(SegmentKind.BELL, decoder)
        bell = Segment.attach(path, SegmentKind.BELL, writable=True)
        Bell(bell.mapping, layout.data_offset).ring()

    # ---- no longer wanted -------------------------------------------------------------------

    def _end(self, connection: _Connection, now_ns: int, crew: Crew) -> None:
        connection.step, connection.since_ns = Step.ENDING, now_ns
        member = connection.member
        member.dismissed, member.start_mono_ns = True, None
        crew.signal(member, signal.SIGTERM)
        _log.info(f"connection {connection.plan.number}: not wanted any more, closing")

    def _step_running(self, connection: _Connection, now_ns: int, crew: Crew) -> None:
        """Nothing: the crew looks after a feed that runs."""

    def _step_ending(self, connection: _Connection, now_ns: int, crew: Crew) -> None:
        member = connection.member
        if not member.is_alive:
            connection.step, connection.since_ns = Step.CATCHING_UP, now_ns
            connection.backlog = Backlog(self._instance.paths, connection.plan.number)
        elif now_ns - connection.since_ns >= EXIT_ALLOWANCE_NS:
            crew.signal(member, signal.SIGKILL)

    def _step_catching_up(self, connection: _Connection, now_ns: int, crew: Crew) -> None:
        assert connection.backlog is not None
        if connection.backlog.frames() and now_ns - connection.since_ns < CATCH_UP_NS:
            return
        number = connection.plan.number
        connection.step, connection.backlog = Step.LEAVING, None
        manifest = self._instance.manifest
        connection.entries = [e for e in manifest if _is_of(e, number)]
        kept = [e for e in manifest if not _is_of(e, number)]
        self._publish(kept, connection.plan.decoder)
        connection.manifest_version = self._instance.manifest_version

    def _step_leaving(self, connection: _Connection, now_ns: int, crew: Crew) -> None:
        plan, member = connection.plan, connection.member
        page = self._decoder_page(plan.decoder)
        if int(page.record["manifest_version_seen"]) < connection.manifest_version:
            return
        establish.unlink_segments(self._instance.paths, connection.entries)
        assert member.page is not None
        self.pages.remove(member.page)
        crew.members.remove(member)
        self._roster.remove(member)
        del self._connections[plan.number]
        _log.info(f"connection {plan.number}: closed")

    def _decoder_page(self, number: int) -> StatusPage:
        if number not in self._decoder_pages:
            kind = SegmentKind.DECODER_STATUS
            path = self._instance.paths.segment(kind, number)
            self._decoder_pages[number] = StatusPage(Segment.attach(path, kind))
        return self._decoder_pages[number]


def _is_of(entry: ManifestEntry, connection: int) -> bool:
    return entry.number == connection and entry.kind in OF_CONNECTIONS


_STEPS: Final[dict[Step, Callable[[Connections, _Connection, int, Crew], None]]] = {
    Step.RUNNING: Connections._step_running,
    Step.ENDING: Connections._step_ending,
    Step.CATCHING_UP: Connections._step_catching_up,
    Step.LEAVING: Connections._step_leaving,
}
