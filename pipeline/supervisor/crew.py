"""All processes of an instance: start them when due, reap the dead, kill the hung. Floor 5.

A successor is forked only after its predecessor is dead *and reaped*: only then is it certain
that nobody writes to its segments any more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.enums import Role
from pipeline.core.exit_codes import ExitCode
from pipeline.supervisor.fork import Closer, fork
from pipeline.supervisor.hangs import HangWatch
from pipeline.supervisor.member import Member
from pipeline.supervisor.restart import Cause, classify
from pipeline.supervisor.signals import HAS_PIDFD
from pipeline.supervisor.strategies import end_session

_log = logging.getLogger(__name__)


class Crew:
    """The members of an instance, in the order in which they start.

    `run` is what a member's child does; `on_death` is told of each death after it was reaped and
    judged, before any successor; `watch` and `unwatch` see every pidfd come and go.
    """

    def __init__(
        self,
        members: list[Member],
        *,
        run: Callable[[Member], int],
        on_death: Callable[[Member, Cause, int], None],
        watch: Callable[[int], object],
        unwatch: Callable[[int], object],
        hangs: HangWatch,
    ) -> None:
        self.members = members
        self.forks = 0
        self.restarts = 0
        self.deaths = 0
        self.kills = 0
        self._run = run
        self._on_death = on_death
        self._watch = watch
        self._unwatch = unwatch
        self._hangs = hangs

    def alive(self) -> frozenset[Role]:
        """Return the roles that have a process."""
        return frozenset(member.role for member in self.members if member.is_alive)

    def of(self, role: Role) -> Iterator[Member]:
        """Yield the members of a role."""
        return (member for member in self.members if member.role is role)

    def next_start_ns(self) -> int | None:
        """Return when the next process is due; None when none is."""
        return min(
            (m.start_mono_ns for m in self.members if m.start_mono_ns is not None), default=None
        )

    def start_due(self, now_ns: int, closers: Callable[[Member], list[Closer]]) -> None:
        """Fork every process that is due; `closers` are those of its child."""
        for member in self.members:
            if member.start_mono_ns is not None and member.start_mono_ns <= now_ns:
                self._start(member, [*closers(member), *self._pidfd_closers()])

    def _start(self, member: Member, closers: list[Closer]) -> None:
        now_ns = monotonic_ns()
        member.prepare(now_ns)
        try:
            pid = fork(lambda: self._run(member), name=member.name, closers=closers)
        except OSError as error:
            _log.error(f"{member.name} cannot be started ({error.strerror}): next try in a second")
            member.start_mono_ns = now_ns + NS_PER_S
            return
        self.restarts += member.started_mono_ns != 0
        pidfd = _open_pidfd(pid)
        if pidfd >= 0:
            self._watch(pidfd)
        member.note_start(pid, pidfd, now_ns)
        self.forks += 1
        _log.debug(f"{member.name} is process {pid}")

    def _pidfd_closers(self) -> list[Closer]:
        open_now = [member.pidfd for member in self.members if member.pidfd >= 0]
        return [lambda fd=fd: os.close(fd) for fd in open_now]  # type: ignore[misc]

    def reap(self, *, restarts: Callable[[Role], bool]) -> None:
        """Collect every process that has ended, and judge its end."""
        for member in self.members:
            if not member.is_alive:
                continue
            if member.is_hosted and hasattr(os, "waitid"):
                if not _has_ended(member.pid, os.WNOHANG):
                    continue  # once reaped, its children could not be found any more
                end_session(member.pid)
            pid, status = os.waitpid(member.pid, os.WNOHANG)
            if pid:
                exit_code = os.waitstatus_to_exitcode(status)
                is_done = member.is_hosted and exit_code == 0
                restart = restarts(member.role) and not is_done and not member.dismissed
                self._bury(member, exit_code, restart)
                if is_done and restarts(member.role):
                    _log.info(f"{member.name} ended with exit code 0: it is done, and stays so")

    def _bury(self, member: Member, exit_code: int, restart: bool) -> None:
        if member.pidfd >= 0:
            self._unwatch(member.pidfd)
            os.close(member.pidfd)
        cause = classify(exit_code, killed_as_hung=member.kill_sent)
        now_ns = monotonic_ns()
        opened = member.note_death(now_ns, exit_code=exit_code, cause=cause, restart=restart)
        self.deaths += 1
        if restart:
            _tell(member, cause, exit_code, opened, now_ns)
        self._on_death(member, cause, exit_code)

    def kill_hung(self, now_ns: int) -> None:
        """Kill, once, every process whose heartbeat and `busy_until` are both long past."""
        self._hangs.note_turn(now_ns)
        for member in self.members:
            member.note_life(now_ns)
            if not member.is_alive or member.kill_sent or member.page is None:
                continue
            if member.is_hosted:
                continue  # user code may take its time
            head = member.page.head
            if self._hangs.is_hung(
                now_ns,
                heartbeat_ns=int(head["heartbeat_mono_ns"]),
                busy_until_ns=int(head["busy_until_mono_ns"]),
            ):
                age_s = (now_ns - int(head["heartbeat_mono_ns"])) / NS_PER_S
                _log.error(f"{member.name} (process {member.pid}) gave no sign of life for "
                           f"{age_s:.1f} s: killed")  # fmt: skip
                member.kill_sent = True
                self.kills += 1
                self.signal(member, signal.SIGKILL)

    def signal(self, member: Member, number: int) -> None:
        """Send a signal to a member's process, if it has one; it is ours until it is reaped."""
        if member.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, number)

    def dismiss(self, role: Role) -> None:
        """Start no further process of a role."""
        for member in self.of(role):
            member.start_mono_ns = None

    def kill_all(self) -> None:
        """Kill and reap whatever runs, and start nothing more: the end, whatever led to it."""
        for member in self.members:
            member.start_mono_ns = None
            self.signal(member, signal.SIGKILL)
        for member in self.members:
            if member.is_alive:
                if member.is_hosted and _has_ended(member.pid):
                    end_session(member.pid)
                status = os.waitpid(member.pid, 0)[1]
                self._bury(member, os.waitstatus_to_exitcode(status), False)


def _has_ended(pid: int, options: int = 0) -> bool:
    """Return whether a child has ended, without reaping it; waits for that unless told not to.

    Where nobody can ask that without reaping, it is as if it had not.
    """
    if not hasattr(os, "waitid"):
        return False
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | options) is not None


def _open_pidfd(pid: int) -> int:
    """Return what tells of a child's death at once; -1 where each turn has to look for it."""
    try:
        return os.pidfd_open(pid) if HAS_PIDFD else -1
    except OSError as error:
        _log.warning(f"process {pid} is watched by polling: {error.strerror}")
        return -1


def _tell(member: Member, cause: Cause, exit_code: int, opened: bool, now_ns: int) -> None:
    end = f"exit code {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"
    if -exit_code in set(signal.Signals):
        end = signal.Signals(-exit_code).name
    pause_s = ((member.start_mono_ns or now_ns) - now_ns) / NS_PER_S
    then = f"a new one in {pause_s:.1f} s" if pause_s else "a new one follows"
    text = f"{member.name} ended by {end} ({cause.name.lower()}): {then}"
    if opened:
        why = "it cannot run" if exit_code == ExitCode.CONFIG else "it dies too often"
        text += f"; {why}, so it counts as FAILED from now on"
    # Code 0 is the answer to a SIGTERM, which a terminal or a service manager sends to all.
    _log.log(logging.ERROR if exit_code or opened else logging.INFO, text)
