"""One role of an instance, over all the processes that hold it one after another. Floor 5."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.enums import HostPhase, Reason, Role, State
from pipeline.core.exit_codes import ExitCode
from pipeline.shm.identity import start_time
from pipeline.shm.pages import StatusPage
from pipeline.strategy.items import Restart
from pipeline.supervisor.restart import Cause, RestartPolicy, RestartRecord

Row = np.ndarray[Any, Any]

#: What each role counts as work done. One that is not here has done some once it lived this long:
#: a gateway without clients or ticks works as well.
_COMMIT_FIELDS: Final = {
    Role.FEED: "frames_out",
    Role.DECODER: "commits",
    Role.STRATEGY: "calls",
    Role.CONTROL: "turns",
}
_COMMITTED_AFTER_NS: Final = 10_000_000_000


class Member:
    """A role with its restarts and, while one runs, its process.

    `label` is what a strategy is called; `row` is this member's part of the supervisor's page,
    `page` the role's own. `start_mono_ns` is when the next process is due, None when there shall
    be none.
    """

    def __init__(
        self, role: Role, number: int, *, page: StatusPage | None, row: Row, policy: RestartPolicy,
        label: str = "",
    ) -> None:  # fmt: skip
        self.role = role
        self.number = number
        self.name = f"{role.name.lower()} {label or number}"
        if role in (Role.SIMULATOR, Role.GATEWAY):
            self.name = role.name.lower()
        self.page = page
        self.restarts = RestartRecord(policy)
        self.pid = 0
        self.pidfd = -1
        self.started_mono_ns = 0
        self.start_mono_ns: int | None = 0
        self.kill_sent = False
        self.dismissed = False  # no successor, whatever its end
        self.skip: tuple[int, int] | None = None
        self.restart: Restart | None = None
        self._row = row
        self._commits_at_start = 0
        self._suspect: tuple[int, int] | None = None
        row["role"], row["number"] = role, number
        raw = self.name.encode()
        row["name"][: len(raw)] = np.frombuffer(raw, np.uint8)

    def forget(self) -> None:
        """Give the row of the supervisor's page back: this member has no process any more."""
        self._row[...] = np.zeros((), self._row.dtype)

    @property
    def is_alive(self) -> bool:
        """Whether it has a process that was not reaped yet."""
        return self.pid != 0

    @property
    def is_hosted(self) -> bool:
        """Whether it runs user code: in a session of its own, reported and not killed when it is
        silent, and done when it ends with code 0."""
        return self.role is Role.STRATEGY

    def prepare(self, now_ns: int) -> None:
        """Set what its next process finds: a heartbeat of now, and the work done until now."""
        self._commits_at_start = self._commits()
        self.restart = self._restart()
        if self.page is None:
            return
        self.page.beat(now_ns)
        if self.role is Role.DECODER:
            self.page.record["decoding"] = 0  # what its predecessor died on is known by now
        if int(self.page.head["state"]) == State.FAILED:
            self.page.set_state(State.RECONNECTING, Reason.STARTED)

    def _restart(self) -> Restart | None:
        row = self._row
        if int(row["started_mono_ns"]) == 0:
            return None
        return Restart(
            restarts=int(row["restarts"]) + 1,
            exit_code=int(row["last_exit_code"]),
            reason=Reason(int(row["last_exit_reason"])),
            end_ts_ns=int(row["last_exit_ts_ns"]),
        )

    def note_start(self, pid: int, pidfd: int, now_ns: int) -> None:
        """Take note of a new process."""
        self.pid, self.pidfd, self.started_mono_ns = pid, pidfd, now_ns
        self.start_mono_ns = None
        self.kill_sent = False
        row = self._row
        row["restarts"] += int(row["started_mono_ns"]) != 0
        row["pid"], row["start_time"], row["started_mono_ns"] = pid, start_time(pid), now_ns
        row["next_start_mono_ns"] = 0

    def note_death(self, now_ns: int, *, exit_code: int, cause: Cause, restart: bool) -> bool:
        """Take note that the process was reaped; return whether the circuit opened by that."""
        opened = False
        if restart:
            verdict = self.restarts.note_death(
                now_ns,
                cause=cause,
                committed=self._has_committed(),
                hopeless=self.is_hosted and exit_code == ExitCode.CONFIG,
            )
            self.start_mono_ns, opened = verdict.start_mono_ns, verdict.circuit_opened
            self._note_suspect(cause)
        self.pid, self.pidfd = 0, -1
        if self.is_hosted and self.page is not None:
            self.page.record["phase"] = HostPhase.NONE
        row = self._row
        row["pid"], row["last_exit_code"], row["last_exit_ts_ns"] = 0, exit_code, real_ns()
        row["last_exit_reason"] = cause.value if restart or exit_code else Reason.SHUTDOWN
        row["next_start_mono_ns"] = self.start_mono_ns or 0
        self._show_circuit()
        return opened

    def note_life(self, now_ns: int) -> None:
        """Take note that its process still runs; a long life forgives the deaths before it."""
        if self.pid and self.restarts.note_life(now_ns - self.started_mono_ns):
            self._show_circuit()

    def _show_circuit(self) -> None:
        self._row["circuit_open"] = self.restarts.circuit_open
        self._row["consecutive_deaths"] = self.restarts.deaths_in_a_row

    def _commits(self) -> int:
        field = _COMMIT_FIELDS.get(self.role)
        return int(self.page.record[field]) if self.page is not None and field else 0

    def _has_committed(self) -> bool:
        if self.role not in _COMMIT_FIELDS:
            return monotonic_ns() - self.started_mono_ns >= _COMMITTED_AFTER_NS
        return self._commits() != self._commits_at_start

    def _note_suspect(self, cause: Cause) -> None:
        """A frame that two decoders in a row died on by own fault is skipped by the next one."""
        if self.role is not Role.DECODER or self.page is None or not cause.own_fault:
            self._suspect = None
            return
        page = self.page.record
        at = (int(page["decoding_connection"]), int(page["decoding_source_sequence"]))
        suspect = at if page["decoding"] else None
        if suspect is not None and suspect == self._suspect:
            self.skip = suspect
        self._suspect = suspect
