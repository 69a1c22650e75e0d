"""The supervisor's loop: one process, one thread, and no step that waits. Floor 5.

It forks every role, gives the dead their successors and brings all to an orderly end. It never
touches market data. Its own death ends the instance: the children die with it, and the next
start clears away what is left.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pipeline.core import logs
from pipeline.core.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from pipeline.core.config import Config
from pipeline.core.control import TOPOLOGY_CHANGED
from pipeline.core.enums import InstanceState, Reason, Role, SegmentKind, State
from pipeline.core.exit_codes import ExitCode
from pipeline.core.plan import ConnectionPlan, Topology, plan_topology
from pipeline.shm.instance import InstanceFile
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.supervisor import establish, heir
from pipeline.supervisor.backlog import Backlog
from pipeline.supervisor.callbacks import CallbackWatch
from pipeline.supervisor.connections import Connections
from pipeline.supervisor.crew import Crew
from pipeline.supervisor.drain import Drain, Stage
from pipeline.supervisor.fork import Closer
from pipeline.supervisor.hangs import HangWatch
from pipeline.supervisor.member import Member
from pipeline.supervisor.news import ConnectionNews, all_rejected, status_line
from pipeline.supervisor.notify import Notifier
from pipeline.supervisor.readers import ReaderSweep
from pipeline.supervisor.restart import Cause
from pipeline.supervisor.roster import Roster
from pipeline.supervisor.signals import SignalInbox
from pipeline.supervisor.task import RoleTable, Task

#: How long nothing may happen before a look around, while all is well and while it is not.
_CALM_TURN_NS: Final = 500 * NS_PER_MS
_TURN_NS: Final = 250 * NS_PER_MS
_DRAIN_TURN_NS: Final = 5 * NS_PER_MS
_HOUSEKEEPING_NS: Final = NS_PER_S

#: Signals closer together than this are one request: a terminal and a parent may both send it.
_ONE_REQUEST_NS: Final = 100 * NS_PER_MS

_log = logging.getLogger(__name__)


class Ending(NamedTuple):
    """Why an instance ends, and the exit code that tells."""

    reason: Reason
    exit_code: ExitCode


class Supervisor:
    """Runs one instance whose segments are made; `run` returns when all of it has ended.

    `own` close, in a child, what else is ours alone.
    """

    def __init__(
        self,
        config: Config,
        roles: RoleTable,
        instance: InstanceFile,
        inbox: SignalInbox,
        listener: socket.socket | None,
        *,
        run_s: float | None,
        notifier: Notifier | None = None,
        served: Mapping[Role, socket.socket] | None = None,
        own: Sequence[Closer] = (),
    ) -> None:
        self._notifier = notifier or Notifier()
        self._config = establish.resolve(config, instance.paths, listener, served)
        self._roles = roles
        self._instance = instance
        topology = plan_topology(self._config)  # kept, and so there for every child
        self._inbox = inbox
        self._own = own
        self._listeners = dict(served or {})
        if listener is not None:
            self._listeners[Role.SIMULATOR] = listener
        self._page = self._open_page(SegmentKind.SUPERVISOR_STATUS)
        self._page.begin(Role.SUPERVISOR)
        self._selector = selectors.DefaultSelector()
        self._selector.register(inbox.descriptor, selectors.EVENT_READ)
        self._roster = Roster(self._config, instance.paths, self._page)
        self._connections = Connections(self._config, topology, instance, self._roster)
        now_ns = monotonic_ns()
        self._hang_timeout_ns = round(config.supervisor.hang_timeout_s * NS_PER_S)
        self._crew = Crew(
            self._members(topology),
            run=self._run_member,
            on_death=self._on_death,
            watch=lambda pidfd: self._selector.register(pidfd, selectors.EVENT_READ),
            unwatch=self._selector.unregister,
            hangs=HangWatch(self._hang_timeout_ns, now_ns),
        )
        self._began_ns = now_ns
        self._end_at_ns = None if run_s is None else now_ns + round(run_s * NS_PER_S)
        self._housekeeping_at_ns = now_ns
        self._feed_pages = self._connections.pages
        self._news = ConnectionNews(self._feed_pages, now_ns)
        self._sweep = ReaderSweep(instance.paths)
        self._callbacks = CallbackWatch(list(self._crew.of(Role.STRATEGY)))
        self._ending: Ending | None = None
        self._ending_since_ns = 0
        self._drain: Drain | None = None
        self._backlogs: dict[ConnectionPlan, Backlog] = {}
        self._over = False

    def close(self) -> None:
        """Give the descriptors of the loop back."""
        self._selector.close()

    def _open_page(self, kind: SegmentKind, number: int = 0) -> StatusPage:
        path = self._instance.paths.segment(kind, number)
        return StatusPage(Segment.attach(path, kind, writable=True))

    def _members(self, topology: Topology) -> list[Member]:
        """Return what is to run, in the order of starting."""
        add = self._roster.add
        members = [add(Role.SIMULATOR, 0)] if self._config.simulator is not None else []
        members += [add(Role.DECODER, decoder.number) for decoder in topology.decoders]
        if topology.pooled:
            members.append(add(Role.CONTROL, 0))
        members += self._connections.members_at_start()
        for number, strategy in enumerate(self._config.hosted):
            members.append(add(Role.STRATEGY, number, strategy.label))
        if self._config.gateway is not None:
            members.append(add(Role.GATEWAY, 0))
        return members

    # ---- the loop -----------------------------------------------------------------------

    def run(self) -> Ending:
        """Run until the end, however it comes about; no process is left when this returns."""
        try:
            self._crew.start_due(monotonic_ns(), self._closers)
            self._instance.set_state(InstanceState.RUNNING, Reason.STARTED)
            self._page.set_state(State.LIVE, Reason.STARTED)
            name = self._config.instance.name
            self._notifier.ready(f"instance {name} runs")
            _log.info(
                f'running as process {os.getpid()}: pipeline.attach("{name}") reads it from any '
                "process, Ctrl-C or SIGTERM ends it"
            )
            while not self._over:
                self._turn()
        finally:
            self._crew.kill_all()
        assert self._ending is not None, "only an ending ends the loop"
        _log.info(
            f"ended with exit code {int(self._ending.exit_code)} after "
            f"{(monotonic_ns() - self._began_ns) / NS_PER_S:.1f} s and {self._restart_count()}"
        )
        return self._ending

    def _restart_count(self) -> str:
        count = self._crew.restarts
        return f"{count} restart" if count == 1 else f"{count} restarts"

    def _turn(self) -> None:
        self._selector.select(self._timeout_s())
        now_ns = monotonic_ns()
        self._page.beat(now_ns)
        for number in self._inbox.take():
            self._on_signal(number, now_ns)
        self._crew.reap(restarts=self._restarts)
        self._crew.kill_hung(now_ns)
        if self._drain is None:
            self._connections.step(now_ns, self._crew)
        self._crew.start_due(now_ns, self._closers)
        self._news.tell(now_ns)
        self._check_reasons_to_end(now_ns)
        if now_ns >= self._housekeeping_at_ns:
            self._housekeeping_at_ns = now_ns + _HOUSEKEEPING_NS
            self._keep_house()
            self._callbacks.tell(now_ns)
        self._step_drain(now_ns)
        self._notifier.beat(now_ns, healthy=self._is_healthy())

    def _is_healthy(self) -> bool:
        """Whether a service manager had better leave us alone: not if a role is given up whole."""
        if self._drain is not None:
            return True
        roles = (list(self._crew.of(role)) for role in (Role.DECODER, Role.FEED))
        return not any(found and all(m.restarts.circuit_open for m in found) for found in roles)

    def _timeout_s(self) -> float:
        now_ns = monotonic_ns()
        wait_ns = _CALM_TURN_NS if self._news.all_live else _TURN_NS
        wait_ns = min(wait_ns, self._hang_timeout_ns // 4)
        if self._drain is not None or self._connections.is_busy:
            wait_ns = _DRAIN_TURN_NS
        for due_ns in (self._crew.next_start_ns(), self._end_at_ns):
            if due_ns is not None:
                wait_ns = min(wait_ns, due_ns - now_ns)
        return max(wait_ns, 0) / NS_PER_S

    # ---- processes ------------------------------------------------------------------------

    def _run_member(self, member: Member) -> int:
        """The child's whole life."""
        instance = self._config.instance
        # A feed's lines carry the number of its connection anyway.
        name = "feed" if member.role is Role.FEED else member.name
        logs.set_up(role=name, level=instance.log_level, log_format=instance.log_format)
        is_feed = member.role is Role.FEED
        task = Task(
            role=member.role,
            number=member.number,
            config=self._config,
            paths=self._instance.paths,
            connection=self._connections.plan(member.number) if is_feed else None,
            skip=member.skip,
            restart=member.restart,
            listener=self._listeners.get(member.role),
        )
        return self._roles[member.role](task)

    def _closers(self, member: Member) -> list[Closer]:
        closers: list[Closer] = [
            self._selector.close,
            self._inbox.close,
            lambda: os.close(self._instance.lock),
            *self._own,
        ]
        closers += [s.close for role, s in self._listeners.items() if role is not member.role]
        return closers

    def _restarts(self, role: Role) -> bool:
        return self._drain is None or self._drain.restarts(role)

    def _on_death(self, member: Member, cause: Cause, exit_code: int) -> None:
        """Do a dead feed's last duty, and show who is given up for now."""
        if member.page is None:
            return
        follows = member.start_mono_ns is not None and not member.restarts.circuit_open
        if member.dismissed:
            if exit_code:  # it could not say so itself
                self._announce(member, State.CLOSED, cause.value, exit_code)
                member.page.set_state(State.CLOSED, cause.value)
        elif member.role is Role.FEED and not (exit_code == 0 and self._drain is not None):
            state = State.RECONNECTING if follows else State.FAILED
            self._announce(member, state, cause.value, exit_code)
            member.page.set_state(state, cause.value)
        if member.restarts.circuit_open:
            member.page.set_state(State.FAILED, Reason.CIRCUIT_OPEN)

    def _announce(self, member: Member, state: State, reason: Reason, exit_code: int) -> None:
        assert member.page is not None
        connection = self._connections.plan(member.number)
        try:
            heir.announce(
                self._instance.paths,
                state,
                reason,
                connection=member.number,
                decoder=connection.decoder,
                connection_epoch=int(member.page.record["connection_epoch"]),
                exit_code=exit_code,
            )
        except FileNotFoundError:
            _log.error(f"{member.name}: its frame ring is gone, so its end cannot be announced")

    # ---- house ------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        record = self._page.record
        record["forks"], record["deaths"] = self._crew.forks, self._crew.deaths
        record["kills"] = self._crew.kills
        if self._drain is None:
            self._notifier.status(status_line(self._feed_pages))
        for name in self._sweep.turn():
            _log.info(f"reader {name} is dead: its page was removed")
        if not self._instance.is_in_place():
            _log.error(
                f"{self._instance.paths.directory} has vanished, and nobody can attach any more: "
                "ending. If this happens at logout: loginctl enable-linger, or RemoveIPC=no"
            )
            self._end(Ending(Reason.DISCONTINUITY, ExitCode.TEMPORARY), monotonic_ns())
            self._over = True

    # ---- the end -----------------------------------------------------------------------------

    def _on_signal(self, number: int, now_ns: int) -> None:
        if number in (signal.SIGCHLD, TOPOLOGY_CHANGED):
            return
        interrupted = number == signal.SIGINT
        if self._ending is None:
            _log.info(f"{signal.Signals(number).name}: ending in good order; again to stop at once")
            code = ExitCode.INTERRUPTED if interrupted else ExitCode.DONE
            self._end(Ending(Reason.SHUTDOWN, code), now_ns)
        elif now_ns - self._ending_since_ns > _ONE_REQUEST_NS:
            _log.warning(f"{signal.Signals(number).name} again: stopping at once")
            if self._ending.exit_code is ExitCode.DONE:
                code = ExitCode.INTERRUPTED if interrupted else ExitCode.FAILED
                self._ending = self._ending._replace(exit_code=code)
            self._over = True

    def _check_reasons_to_end(self, now_ns: int) -> None:
        if self._ending is not None:
            return
        if self._end_at_ns is not None and now_ns >= self._end_at_ns:
            _log.info("the time is over: ending in good order")
            self._end(Ending(Reason.SHUTDOWN, ExitCode.DONE), now_ns)
        elif self._config.instance.exit_on_auth and all_rejected(self._feed_pages):
            _log.error("every connection's token was rejected: ending, as exit_on_auth asks")
            self._end(Ending(Reason.AUTH_REJECTED, ExitCode.AUTH), now_ns)

    def _end(self, ending: Ending, now_ns: int) -> None:
        self._ending = ending
        self._ending_since_ns = now_ns
        self._end_at_ns = None
        self._instance.set_state(InstanceState.DRAINING, ending.reason)
        self._page.set_state(State.DRAINING, ending.reason)
        self._notifier.stopping(f"ending: {ending.reason.name}")
        timeout_ns = round(self._config.instance.drain_timeout_s * NS_PER_S)
        strategy_ns = round(self._config.supervisor.strategy_stop_s * NS_PER_S)
        self._drain = Drain(now_ns, timeout_ns=timeout_ns, strategy_ns=strategy_ns)
        for role in Role:
            if not self._drain.restarts(role):  # nor does one start that was due later
                self._crew.dismiss(role)

    def _step_drain(self, now_ns: int) -> None:
        if self._drain is None or self._over:
            return
        orders = self._drain.step(
            now_ns, alive=self._crew.alive(), caught_up=not self._backlog_frames()
        )
        for role, number in orders:
            self._crew.dismiss(role)
            for member in self._crew.of(role):
                if number == signal.SIGKILL and member.is_alive:
                    _log.warning(f"{member.name} (process {member.pid}) did not end: killed")
                self._crew.signal(member, number)
        self._over = self._drain.stage is Stage.DONE

    def _backlog_frames(self) -> int:
        """Return how many frames are not decoded yet; looked at only when the feeds have ended."""
        assert self._drain is not None
        if self._drain.stage > Stage.CATCH_UP or Role.FEED in self._crew.alive():
            return 1
        if not self._backlogs:
            paths = self._instance.paths
            self._backlogs = {c: Backlog(paths, c.number) for c in self._connections.plans()}
        # Nobody waits for a decoder that will not come back in time.
        given_up = {m.number for m in self._crew.of(Role.DECODER) if m.restarts.circuit_open}
        return sum(
            backlog.frames()
            for connection, backlog in self._backlogs.items()
            if connection.decoder not in given_up
        )
