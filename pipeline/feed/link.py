"""One open connection, from the upgrade to its end. Floor 3.

The loop reads, and between reads does its duties: pings and pongs, timers, the assignment's
changes. While nothing is due soon, whether much comes or nothing, that is twice a second: the
heartbeat and a look at the assignment and for signals, every 50 to 100 ms, are the compiled
reader's meanwhile. Nothing is carried over from one connection to the next.
Decisions on silence are `pipeline.planning.liveness`'; the wire's rules are `ext.websocket`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ext.websocket import FrameReader, StreamResult, WsOpcode, encode_close, encode_frame
from pipeline.brokers.contract import Session
from pipeline.core.clock import NS_PER_MS, NS_PER_S, monotonic_ns, real_ns
from pipeline.core.config import FeedConfig, HoursConfig
from pipeline.core.enums import Reason, State
from pipeline.feed.outbox import ROOM_BYTES, Outbox
from pipeline.feed.segments import FeedSegments
from pipeline.feed.status import FeedStatus
from pipeline.feed.subscriptions import Subscriptions
from pipeline.feed.texts import TextRouter
from pipeline.feed.transport import BUSY_NS, Transport
from pipeline.planning.backoff import Ending
from pipeline.planning.hours import in_session
from pipeline.planning.liveness import (
    LivenessPolicy,
    Quietness,
    Verdict,
    judge_quiet,
    judge_silence,
)

#: The longest wait while something is due soon, and while nothing is.
WAIT_NS: Final = 50 * NS_PER_MS
IDLE_WAIT_NS: Final = 500 * NS_PER_MS
#: An idle wait may find silence late by this part of the time that makes it silence.
LATE_PARTS: Final = 3
DRAIN_NS: Final = 500 * NS_PER_MS
HOURS_CHECK_NS: Final = NS_PER_S
#: So long after the last command, what arrives should arrive in the mode that was asked for.
MODES_SETTLE_NS: Final = 5 * NS_PER_S
CLOSE_NORMAL: Final = 1000
CLOSE_WITHOUT_CODE: Final = 1005

_TEXT: Final = int(WsOpcode.WS_TEXT)
_CLOSE: Final = int(WsOpcode.WS_CLOSE)
_PING: Final = int(WsOpcode.WS_PING)
_PONG: Final = int(WsOpcode.WS_PONG)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkParts:
    """What a link works with, the same for every connection of a feed."""

    segments: FeedSegments
    status: FeedStatus
    session: Session
    config: FeedConfig
    hours: HoursConfig | None
    log: logging.LoggerAdapter[logging.Logger]
    wake_fd: int = -1  # readable once a signal has come


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_S)


class Link:
    """Serve one connection; `serve` returns how it ended."""

    def __init__(self, parts: LinkParts, transport: Transport, *, connection_epoch: int) -> None:
        self._status = parts.status
        self._record = parts.status.record
        self._config = parts.config
        self._hours = parts.hours
        self._transport = transport
        self._segments = segments = parts.segments
        self._epoch = connection_epoch
        self._modes_check_ns = 0  # when to compare the modes, 0 = not again
        self._reader = FrameReader(
            segments.frames.message_bytes_max,
            parts.config.receive_buffer_bytes,
            ring=segments.frames,
            bell=segments.decoder_bell,
            connection_epoch=connection_epoch,
            status=segments.status_buffer,
            frame_deadline_ns=_ns(parts.config.frame_deadline_s),
            spin_ns=parts.config.spin_us * 1000,
            watch=segments.assignment.version_word,
            wake_fd=parts.wake_fd,
        )
        self._outbox = Outbox(timeout_ns=_ns(parts.config.send_timeout_s))
        self._texts = TextRouter(
            parts.session, segments, parts.log, connection_epoch=connection_epoch
        )
        self._subscriptions = Subscriptions(
            parts.session, segments.assignment, segments.wire, connection_epoch=connection_epoch
        )
        self._liveness = LivenessPolicy(
            ping_after_ns=_ns(parts.config.ping_after_s),
            stall_after_ns=_ns(parts.config.stall_after_s),
            quiet_after_ns=_ns(parts.config.quiet_after_s),
        )
        now_ns = monotonic_ns()
        self._connected_ns = now_ns
        self._record["connected_mono_ns"] = now_ns
        self._last_ping_ns = 0
        self._last_probe_ns = 0
        self._due_since_ns = now_ns  # ticks are due since then; moves on while none are
        self._in_session = True
        self._hours_check_ns = 0
        self._was_of_use = False
        self._close_sent = False
        self._commands_left = False
        self._next_duties_ns = 0
        self._idle_wait_ns = self._longest_wait_ns()

    def serve(self, keep_going: Callable[[], bool]) -> Ending | None:
        """Run until the connection ends; None when it was closed because we are to stop."""
        ending = None
        self._follow_assignment(monotonic_ns())  # subscribe first: the first read may wait
        try:
            while ending is None:
                if not keep_going():
                    self._drain()
                    return None
                result = self._read()
                ending = self._take_events() or self._take_result(result)
                if ending is None and self._are_duties_due(result):
                    ending = self._do_duties()
        finally:
            self._subscriptions.publish()
            self._transport.close()
        return ending

    def _longest_wait_ns(self) -> int:
        rule = self._liveness
        shortest = min(
            rule.ping_after_ns, rule.stall_after_ns - rule.ping_after_ns, rule.quiet_after_ns
        )
        return max(WAIT_NS, min(IDLE_WAIT_NS, shortest // LATE_PARTS))

    def _read(self) -> int:
        want_write = len(self._outbox) > 0
        is_soon = want_write or self._commands_left
        wait_ns = WAIT_NS if is_soon else self._idle_wait_ns
        # Until it is live, the first data are news.
        turn_ns = wait_ns if self._status.state is State.LIVE else WAIT_NS
        return self._transport.read(
            self._reader, wait_ns=wait_ns, want_write=want_write, turn_ns=turn_ns
        )

    # ---- what came -------------------------------------------------------------------------

    def _take_events(self) -> Ending | None:
        for opcode, payload, receive_ts_ns, receive_mono_ns in self._reader.take_events():
            if opcode == _TEXT:
                self._texts.take(payload, receive_ts_ns, receive_mono_ns)
            elif opcode == _PING:
                self._send(encode_frame(_PONG, payload))
            elif opcode == _CLOSE:
                return self._take_close(payload)
        return None

    def _take_close(self, payload: bytes) -> Ending:
        code = int.from_bytes(payload[:2], "big") if payload else CLOSE_WITHOUT_CODE
        self._record["last_close_code"] = code
        self._record["last_close_reason"] = 0
        self._record["last_close_reason"][: len(payload[2:])] = list(payload[2:])
        self._send_close(code if payload else 0)
        return self._ending(Reason.CLOSE_FRAME, code)

    def _take_result(self, result: int) -> Ending | None:
        if result != StreamResult.STREAM_ENDED:
            return None
        code = self._reader.close_code
        if code:
            # We close because of what the server sent; it may not even listen any more.
            self._record["last_close_code"] = code
            self._send_close(code)
        return self._ending(Reason(self._reader.reason), code)

    def _ending(self, reason: Reason, close_code: int = 0) -> Ending:
        healthy_ns = monotonic_ns() - self._connected_ns if self._was_of_use else 0
        return Ending(reason=reason, close_code=close_code, healthy_ns=healthy_ns)

    def _send_close(self, code: int) -> None:
        # Once only: an answer to our own close is not answered.
        if not self._close_sent:
            self._close_sent = True
            self._send(encode_close(code))

    def _send(self, frame: bytes) -> None:
        now_ns = monotonic_ns()
        self._outbox.add(frame, now_ns)
        self._outbox.flush(self._transport, now_ns)

    # ---- duties ----------------------------------------------------------------------------

    def _are_duties_due(self, result: int) -> bool:
        # Over TLS each read comes back here; with bytes coming in, nothing is that urgent.
        return result != StreamResult.STREAM_BUSY or monotonic_ns() >= self._next_duties_ns

    def _do_duties(self) -> Ending | None:
        now_ns = monotonic_ns()
        self._next_duties_ns = now_ns + BUSY_NS
        self._status.beat(now_ns)
        timers = self._reader.check_timers(now_ns)
        if timers == StreamResult.STREAM_EVENT:
            self._take_events()
        self._outbox.flush(self._transport, now_ns)
        if self._outbox.is_blocked(now_ns):
            self._transport.abort()
            return self._ending(Reason.SEND_BLOCKED)
        self._follow_assignment(now_ns)
        return self._take_result(timers) or self._judge_silence(now_ns) or self._judge_ticks(now_ns)

    def _judge_silence(self, now_ns: int) -> Ending | None:
        verdict = judge_silence(
            self._liveness,
            now_ns=now_ns,
            last_byte_ns=max(int(self._record["last_byte_mono_ns"]), self._connected_ns),
            last_ping_ns=self._last_ping_ns,
        )
        if verdict is Verdict.PING:
            self._last_ping_ns = now_ns
            self._record["pings_out"] += 1
            self._send(encode_frame(_PING, b""))
        elif verdict is Verdict.STALLED:
            self._record["stalls"] += 1
            self._status.enter(State.STALLED, Reason.STALL)
            self._transport.abort()
            return self._ending(Reason.STALL)
        return None

    def _follow_assignment(self, now_ns: int) -> None:
        had_instruments = bool(self._subscriptions.wanted)
        changed = self._subscriptions.follow()
        self._reader.watched = self._subscriptions.version
        if changed:
            self._modes_check_ns = now_ns + MODES_SETTLE_NS
            self._record["assigned_count"] = len(self._subscriptions.wanted)
            if not had_instruments:
                self._due_since_ns = now_ns
                if self._status.reason is Reason.ASSIGNMENT_EMPTY:
                    self._status.enter(State.SUBSCRIBING, Reason.NONE)
        elif self._modes_check_ns and now_ns >= self._modes_check_ns:
            self._modes_check_ns = 0
            self._compare_modes()
        self._send_commands(now_ns)

    def _compare_modes(self) -> None:
        # Once per change: a server that insists is not argued with.
        others = self._segments.other_modes(self._epoch)
        if others:
            self._record["resubscriptions"] += 1
            self._subscriptions.ask_for_modes(others)

    def _send_commands(self, now_ns: int) -> None:
        self._commands_left = True
        while len(self._outbox) < ROOM_BYTES:
            payload = self._subscriptions.next_command()
            if payload is None:
                self._commands_left = False
                break
            self._outbox.add(encode_frame(_TEXT, payload.encode()), now_ns)
            self._record["commands_out"] += 1
        self._outbox.flush(self._transport, now_ns)
        self._subscriptions.publish()
        self._record["wire_count"] = len(self._subscriptions.on_wire)

    def _judge_ticks(self, now_ns: int) -> Ending | None:
        data_ns = int(self._record["last_data_mono_ns"])
        if self._subscriptions.wanted and data_ns > max(self._connected_ns, self._status.since_ns):
            self._was_of_use = True  # also outside of the hours, where none are expected
            self._status.enter(State.LIVE, Reason.FIRST_DATA)
        if not self._are_ticks_due(now_ns):
            return None
        quietness = judge_quiet(
            self._liveness,
            now_ns=now_ns,
            last_data_ns=max(data_ns, self._due_since_ns),
            last_probe_ns=self._last_probe_ns,
        )
        if quietness is Quietness.NONE:
            return None
        self._status.enter(State.QUIET, Reason.NO_TICKS)
        if quietness is Quietness.PROBE:
            self._last_probe_ns = now_ns
            self._record["resubscriptions"] += 1
            self._subscriptions.ask_again()
        return self._ending(Reason.NO_TICKS) if quietness is Quietness.GIVE_UP else None

    def _are_ticks_due(self, now_ns: int) -> bool:
        if now_ns >= self._hours_check_ns:
            self._in_session = in_session(self._hours, real_ns())
            self._hours_check_ns = now_ns + HOURS_CHECK_NS
        if not self._subscriptions.wanted:
            self._status.enter(State.QUIET, Reason.ASSIGNMENT_EMPTY)
        elif self._in_session:
            return True
        self._was_of_use = True
        self._due_since_ns = now_ns
        return False

    # ---- the end ---------------------------------------------------------------------------

    def _drain(self) -> None:
        """Say goodbye, and take what still comes until the server has answered."""
        self._status.enter(State.DRAINING, Reason.SHUTDOWN)
        until_ns = monotonic_ns() + DRAIN_NS
        self._send_close(CLOSE_NORMAL)
        while (now_ns := monotonic_ns()) < until_ns:
            self._status.beat(now_ns)
            self._outbox.flush(self._transport, now_ns)
            result = self._read()
            self._take_events()
            if result == StreamResult.STREAM_ENDED or self._reader.closed:
                return
