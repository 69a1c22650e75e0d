"""The feed process: one WebSocket connection, kept alive. Floor 3.

    CONNECTING -> SUBSCRIBING -> LIVE <-> QUIET        while a connection is open (link.py)
         ^             |          |        |
         |             v          v        v
    RECONNECTING <- how it ended (STALLED first, if it was silence); AUTH_EXPIRED, LIMITED

It takes bytes off the socket and copies each message into its frame ring. It decodes nothing,
waits for no reader, and reconnects by itself; only the supervisor starts and ends it. A successor
continues at the ring's tail and the last epoch.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Final

from ext.websocket import arm_crash
from pipeline.brokers.registry import load_broker
from pipeline.core import logs
from pipeline.core.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from pipeline.core.config import SIMULATOR_CONNECTION_HEADER, Config
from pipeline.core.enums import Reason, Role, State
from pipeline.core.errors import SecretError
from pipeline.core.exit_codes import ExitCode
from pipeline.core.plan import ConnectionPlan
from pipeline.core.secrets import SecretReading
from pipeline.feed.crash_request import arm_requested_crash
from pipeline.feed.deadline import Cancelled
from pipeline.feed.handshake import HandshakeFailed, Target, open_connection
from pipeline.feed.link import Link, LinkParts
from pipeline.feed.resolver import Resolver
from pipeline.feed.segments import FeedSegments
from pipeline.feed.status import FeedStatus
from pipeline.feed.transport import make_transport
from pipeline.planning.backoff import BackoffPolicy, Ending, plan_pause
from pipeline.shm.names import InstancePaths

SLICE_NS: Final = 50 * NS_PER_MS
SECRET_LOOK_NS: Final = 500 * NS_PER_MS
#: A wait for the key's next handshake that is longer than this is worth a state of its own.
LONG_WAIT_NS: Final = 5 * NS_PER_S


def run_feed(config: Config, paths: InstancePaths, plan: ConnectionPlan) -> int:
    """Be the feed of a connection until SIGTERM; return the exit code."""
    wake_fd = _wake_by_signals()
    feed = Feed(config, paths, plan, draw=random.SystemRandom().random, wake_fd=wake_fd)
    arm_requested_crash(paths.directory / f"crash-feed-{plan.number}", arm_crash)
    signal.signal(signal.SIGTERM, lambda *_: feed.stop())
    return feed.run()


def _wake_by_signals() -> int:
    """Return a pipe's end that can be read once a signal has come, whatever we did meanwhile."""
    reader, writer = os.pipe()
    for descriptor in (reader, writer):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


class Feed:
    """The state machine around the links. `draw` returns numbers in [0, 1) for the jitter."""

    def __init__(
        self, config: Config, paths: InstancePaths, plan: ConnectionPlan, *,
        draw: Callable[[], float], wake_fd: int = -1,
    ) -> None:  # fmt: skip
        self._number = plan.number
        self._draw = draw
        self._log = logs.get_logger(__name__, connection=plan.number)
        self._account = plan.account
        self._secret = config.secret(plan.account)
        self._ca_file = config.path(plan.account.ca_file) if plan.account.ca_file else None
        self._spacing_ns = int(plan.account.handshake_spacing_s * NS_PER_S)
        self._timeout_s = config.feed.connect_timeout_s
        self._policy = BackoffPolicy(
            min_ns=int(config.feed.backoff_min_s * NS_PER_S),
            max_ns=int(config.feed.backoff_max_s * NS_PER_S),
            reset_ns=int(config.feed.backoff_reset_s * NS_PER_S),
        )
        self._segments = FeedSegments(paths, plan)
        self._status = FeedStatus(self._segments, self._log)
        self._record = self._status.record
        self._parts = LinkParts(
            segments=self._segments,
            status=self._status,
            session=load_broker(plan.account.broker).session,
            config=config.feed,
            hours=config.session.hours,
            log=self._log,
            wake_fd=wake_fd,
        )
        self._resolver = Resolver()
        self._step = 0
        self._stopping = False
        self._why = Reason.STARTED
        self._secret_problem = ""

    def stop(self) -> None:
        """Ask for an orderly end; heard within 100 ms, as a rule at once if a signal asks."""
        self._stopping = True

    def run(self) -> int:
        """Connect and reconnect until stopped."""
        self._segments.page.begin(Role.FEED, self._number)
        self._status.take_over()
        name = self._account.name.encode()
        self._record["account"][: len(name)] = list(name)
        while not self._stopping:
            ending = self._connect_and_serve()
            if ending is not None:
                self._pause(ending)
        self._status.enter(State.CLOSED, Reason.DRAINED)
        return int(ExitCode.DONE)

    def _keep_going(self) -> bool:
        self._status.beat(monotonic_ns())
        return not self._stopping

    def _wait(self, duration_ns: int) -> None:
        """Sleep, with a heartbeat, until the time is over or we are to stop."""
        until_ns = monotonic_ns() + duration_ns
        while self._keep_going() and (left_ns := until_ns - monotonic_ns()) > 0:
            time.sleep(min(left_ns, SLICE_NS) / NS_PER_S)

    # ---- one connection ----------------------------------------------------------------------

    def _connect_and_serve(self) -> Ending | None:
        """Return how the next connection, or the attempt at it, ended; None when stopping."""
        reading = self._await_permission()
        if reading is None:
            return None
        epoch = self._status.begin_epoch()
        why, self._why = self._why, Reason.HANDSHAKE
        self._status.enter(State.CONNECTING, why)
        self._record["handshakes"] += 1
        self._record["next_attempt_mono_ns"] = 0
        try:
            sock = open_connection(
                self._target(reading),
                resolver=self._resolver,
                deadline_s=self._timeout_s,
                keep_going=self._keep_going,
            )
        except Cancelled:
            return None
        except HandshakeFailed as failure:
            return self._take_failure(failure, reading)
        self._record["last_http_status"] = 101
        self._status.enter(State.SUBSCRIBING, Reason.CONNECTED)
        link = Link(self._parts, make_transport(sock), connection_epoch=epoch)
        return link.serve(lambda: not self._stopping)  # it beats by itself

    def _target(self, reading: SecretReading) -> Target:
        handshake = self._parts.session.handshake(
            self._account.url,
            api_key=self._account.api_key,
            access_token=reading.secret.reveal(),
        )
        headers = [f"{name}: {value}" for name, value in handshake.headers]
        if self._account.simulated:
            headers.append(f"{SIMULATOR_CONNECTION_HEADER}: {self._number}")
        return Target(
            url=handshake.url,
            headers=tuple(headers),
            ca_file=self._ca_file,
        )

    def _take_failure(self, failure: HandshakeFailed, reading: SecretReading) -> Ending:
        self._record["handshake_failures"] += 1
        self._record["last_http_status"] = failure.http_status
        self._log.warning("the handshake failed: %s", str(failure))
        if failure.reason is Reason.AUTH_REJECTED:
            self._segments.account.rejected_identity = reading.identity
        return Ending(
            reason=failure.reason,
            http_status=failure.http_status,
            retry_after_s=failure.retry_after_s,
        )

    # ---- before and between connections --------------------------------------------------------

    def _await_permission(self) -> SecretReading | None:
        """Return the token for the handshake whose turn it is now; None when stopping.

        The token is looked at again after every wait for the turn: another feed of the key may
        have had it rejected meanwhile, or somebody has replaced it.
        """
        while (reading := self._await_secret()) is not None:
            if self._take_turn():
                return reading
        return None

    def _await_secret(self) -> SecretReading | None:
        """Return a token that has not been rejected; None when stopping."""
        while self._keep_going():
            rejected = self._segments.account.rejected_identity
            if not rejected or self._secret.identity() not in (0, rejected):
                try:
                    reading = self._secret.read()
                except SecretError as error:
                    self._tell_once(str(error))
                else:
                    if reading.identity != rejected:
                        return reading
            self._status.enter(State.AUTH_EXPIRED, Reason.AUTH_REJECTED)
            self._why = Reason.TOKEN_CHANGED
            self._wait(SECRET_LOOK_NS)
        return None

    def _tell_once(self, problem: str) -> None:
        if problem != self._secret_problem:
            self._secret_problem = problem
            self._log.error("%s", problem)

    def _take_turn(self) -> bool:
        """Take this key's next handshake; False after a wait, when it was not free yet."""
        now_ns = monotonic_ns()
        wait_ns = self._segments.account.reserve_handshake(now_ns, self._spacing_ns)
        if not wait_ns:
            return True
        self._record["next_attempt_mono_ns"] = now_ns + wait_ns
        if wait_ns > LONG_WAIT_NS:
            self._status.enter(State.LIMITED, Reason.RATE_LIMITED)
        self._wait(min(wait_ns, NS_PER_S))
        return False

    def _pause(self, ending: Ending) -> None:
        pause = plan_pause(self._policy, ending, step=self._step, draw=self._draw())
        self._step = pause.next_step
        self._record["attempt"] = pause.next_step
        self._record["reconnects"] += 1
        until_ns = monotonic_ns() + pause.duration_ns
        self._record["next_attempt_mono_ns"] = until_ns
        if pause.shared:
            self._segments.account.defer_handshakes(until_ns)
        note = f"next attempt in {pause.duration_ns / NS_PER_S:.2f} s"
        if pause.state is State.AUTH_EXPIRED:
            note = f"waiting for another token in {self._secret}"
        self._status.enter(pause.state, ending.reason, ending.detail, note)
        self._wait(pause.duration_ns)
