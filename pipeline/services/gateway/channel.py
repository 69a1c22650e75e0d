"""One WebSocket of a client: picows' parser, made strict, and a socket that is watched. Floor 4.

picows checks masks, opcodes, lengths and most of a close frame; reserved bits, the order of
fragments, UTF-8, the sizes of messages and the rest of close codes are checked here (RFC 6455,
sections 5.2, 5.4, 7.4 and 8.1). Compression is never negotiated. Nothing of what a client sends is
logged.
"""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import logging
import struct
import sys
import termios
import traceback
from contextlib import suppress
from typing import Any, Final, Protocol

from picows import WSFrame, WSListener, WSTransport

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

CLOSE_NORMAL: Final = 1000
CLOSE_AWAY: Final = 1001
CLOSE_PROTOCOL: Final = 1002
CLOSE_NO_CODE: Final = 1005
CLOSE_BAD_TEXT: Final = 1007
CLOSE_TOO_BIG: Final = 1009
CLOSE_LATER: Final = 1013

_CODES: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
_OWN_CODES: Final = range(3000, 5000)
_REASON_BYTES_MAX: Final = 123
#: How long the other side may take to answer a close frame, or to fetch it.
CLOSE_WITHIN_S: Final = 1.0

_log = logging.getLogger(__name__)
_UTF8: Final = codecs.getincrementaldecoder("utf-8")


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a whole unmasked frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack(">BBQ", 0x80 | opcode, 127, size) + payload


def close_payload(code: int, reason: str) -> bytes:
    """Return a close frame's payload; the reason is cut where it must be."""
    text = reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore")
    return struct.pack(">H", code) + text.encode()


class Receiver(Protocol):
    """Who gets a channel's messages."""

    @property
    def payload_bytes_max(self) -> int:
        """How long the next message may be."""

    def receive(self, payload: bytes) -> None:
        """Take a whole message."""

    def opened(self) -> None:
        """Learn that the handshake is over."""

    def writable(self, *, flows: bool) -> None:
        """Learn that the socket takes no more, or that it takes more again."""

    def wrote(self) -> None:
        """Learn that there is something on its way."""

    def bothered(self) -> None:
        """Learn of a frame that is no whole message: a ping, a pong, a fragment."""

    def closing(self) -> None:
        """Learn that the close frame was the last that is sent; told once."""


class Channel(WSListener):
    """A client's WebSocket; `receiver` is set before the handshake is answered."""

    def __init__(self) -> None:
        self.receiver: Receiver
        self.closing = False  # a close frame was sent, by us or because theirs came
        self.broken = False  # the bytes that follow mean nothing any more
        self.failed = False  # it broke the protocol
        self.opcode = 0  # of the message that is handed over, or whose fragments come
        self.written = 0
        self.unread = 0  # bytes that came and are no whole frame yet
        self.seen_mono_ns = 0
        self._transport: WSTransport | None = None
        self._raw: Any = None
        self._descriptor = -1
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._fragmented = False
        self._decoder = _UTF8()
        self._timer: asyncio.TimerHandle | None = None

    # ---- out ----------------------------------------------------------------------------------

    def say(self, payload: bytes) -> None:
        """Send a text message."""
        if not self.closing:
            self.write(frame(TEXT, payload))

    def ping(self) -> None:
        """Send a ping."""
        if not self.closing:
            self.write(frame(PING, b""))

    def write(self, frames: bytes) -> None:
        """Send whole frames, unless a close frame was sent: nothing may come behind that."""
        raw = self._raw
        if raw is not None and not self.closing and not raw.is_closing():
            self.written += len(frames)
            raw.write(frames)
            self.receiver.wrote()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and let no further message in; the socket ends soon after."""
        if self.closing:
            return
        payload = b"" if code == CLOSE_NO_CODE else close_payload(code, reason)
        self.write(frame(CLOSE, payload))
        self.end_sending()
        if self._raw is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(CLOSE_WITHIN_S, self.abort)

    def end_sending(self) -> None:
        """Send nothing more: a close frame is on its way, or there is no way any more."""
        if not self.closing:
            self.closing = True
            self.receiver.closing()

    def abort(self) -> None:
        """End the socket at once, with whatever was not sent."""
        self.end_sending()
        self.broken = True
        if self._raw is not None:
            self._raw.abort()

    def pause_reading(self) -> None:
        """Read no more; what is sent waits in the system."""
        if self._raw is not None and not self._raw.is_closing():
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._raw is not None and not self._raw.is_closing():
            self._raw.resume_reading()

    @property
    def buffered(self) -> int:
        """How many bytes wait in this process."""
        return 0 if self._raw is None else int(self._raw.get_write_buffer_size())

    def outstanding(self) -> int:
        """Return how many bytes the other side has not taken, in this process and in the system."""
        if self._raw is None or self._raw.is_closing():
            return 0
        unsent = fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, b"\0\0\0\0")
        return self.buffered + int.from_bytes(unsent, "little")

    # ---- in, called by picows -------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin."""
        self._transport = transport
        self._raw = transport.underlying_transport
        self._descriptor = self._raw.get_extra_info("socket").fileno()
        self.receiver.opened()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame that picows found to be one; what is raised here, picows ends and hides."""
        handled = False
        try:
            self._take(frame)
            handled = True
        finally:
            if not handled:
                error = sys.exc_info()[1]  # not its text: that may have in it what was sent
                where = traceback.extract_tb(error.__traceback__)[-1] if error else None
                _log.error(f"a client's frame ended it: {type(error).__name__} at {where}")

    def _take(self, frame: WSFrame) -> None:
        self.unread = frame.tail_size
        if self.broken:
            return
        opcode: Any = frame.msg_type  # an int, whatever its annotation says
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self.fail(CLOSE_PROTOCOL, "reserved bits")
        elif opcode == CLOSE:
            self._on_close(frame)
        elif self.closing:
            return
        elif opcode == PING:
            self.write(frame_of_pong(frame))
            self.receiver.bothered()
        elif opcode == PONG:
            self.receiver.bothered()
        else:
            self._on_data(opcode, frame)

    def pause_writing(self) -> None:
        """Learn that the socket takes no more."""
        self.receiver.writable(flows=False)

    def resume_writing(self) -> None:
        """Learn that the socket takes more."""
        self.receiver.writable(flows=True)

    def ended(self) -> None:
        """Learn that the socket is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self.end_sending()
        self.broken = True
        self._transport = self._raw = None

    def fail(self, code: int, reason: str) -> None:
        """Close because the other side broke the protocol; nothing of it is read any more."""
        self.failed = True
        self.close(code, reason)
        self.broken = True
        self._end()

    def _on_data(self, opcode: int, frame: WSFrame) -> None:
        if (opcode == CONTINUATION) != self._fragmented:
            self.fail(CLOSE_PROTOCOL, "fragments out of order")
            return
        size = self._parts_bytes + frame.payload_size
        if size > self.receiver.payload_bytes_max:
            self.fail(CLOSE_TOO_BIG, "message too big")
            return
        payload = frame.get_payload_as_bytes()
        if opcode != CONTINUATION:
            self.opcode = opcode
        if self.opcode == TEXT and not self._is_text(payload, last=bool(frame.fin)):
            self.fail(CLOSE_BAD_TEXT, "not UTF-8")
        elif frame.fin:
            parts, self._parts = [*self._parts, payload], []
            self._fragmented, self._parts_bytes = False, 0
            self.receiver.receive(payload if len(parts) == 1 else b"".join(parts))
        else:
            self._fragmented, self._parts_bytes = True, size
            self._parts.append(payload)
            self.receiver.bothered()

    def _is_text(self, payload: bytes, *, last: bool) -> bool:
        try:
            self._decoder.decode(payload, last)
        except UnicodeDecodeError:
            return False
        return True

    def _on_close(self, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        code = struct.unpack(">H", payload[:2])[0] if payload else CLOSE_NO_CODE
        if payload and code not in _CODES and code not in _OWN_CODES:
            self.fail(CLOSE_PROTOCOL, "close code")
            return
        self.close(code)
        self.broken = True
        self._end()

    def _end(self) -> None:
        """End our direction once all is sent; `close` has set the time by when it ends anyway.

        What comes is read on and dropped: a socket that is closed with something unread is reset,
        and the close frame would be lost with it.
        """
        if self._raw is not None and not self._raw.is_closing():
            with suppress(OSError):  # reset by now
                self._raw.write_eof()


def frame_of_pong(ping: WSFrame) -> bytes:
    """Return the answer to a ping."""
    return frame(PONG, ping.get_payload_as_bytes())
