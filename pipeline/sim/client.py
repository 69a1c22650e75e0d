"""One accepted socket of the simulated exchange: opening, frames in, bytes out. Floor 4.

The opening handshake and the client's frames go through `websockets`' sans-I/O protocol; market
data is encoded by `ext/simulate` straight into the output buffer. All of it is appended whole, so
text, pongs and heartbeats fall between data frames, never into one.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any, Final, Protocol

from ext.simulate import Market, Output, TruthLog, websocket_frame
from pipeline.core.clock import monotonic_ns
from pipeline.core.config import SIMULATOR_CONNECTION_HEADER
from pipeline.core.extras import import_extra
from pipeline.sim.admission import Refusal
from pipeline.sim.conditions import FOREVER, Conditions
from pipeline.sim.transport import PlainTransport

import_extra("websockets", needed_by="the simulated exchange")

from websockets.frames import Frame, Opcode  # noqa: E402 (that it is there is known only now)
from websockets.http11 import Request  # noqa: E402
from websockets.protocol import OPEN  # noqa: E402
from websockets.server import ServerProtocol  # noqa: E402

_MESSAGE_BYTES_MAX: Final = 1 << 22
_OUTPUT_BYTES: Final = 1 << 20
_LOAD_BYTES: Final = 1 << 17
_REQUEST_S: Final = 10.0
_CLOSE_S: Final = 2.0
_RECEIVES_PER_TURN: Final = 16
_HEARTBEAT: Final = websocket_frame(0x2, b"\x00")

# websockets logs request lines at debug level, and they hold the access token.
_SILENT: Final = logging.getLogger("pipeline.sim.websockets")
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)


class House(Protocol):
    """What a client needs of the exchange that it is a client of."""

    def admit(self, client: Client, path: str) -> Refusal | None: ...
    def opened(self, client: Client) -> None: ...
    def heard(self, client: Client, text: str) -> None: ...


class Client:
    """A session: number `number` of the run, pipeline connection `connection` (-1: not said)."""

    def __init__(
        self,
        number: int,
        transport: PlainTransport,
        house: House,
        make_output: Callable[[int, int], Output],
        *,
        now_s: float,
        seed: int,
    ) -> None:
        self.number = number
        self.connection = -1
        self.key = ""
        self.transport = transport
        self.conditions = Conditions()
        self.random = random.Random(f"{seed}/{number}")
        self.last_data_s = now_s
        self.commands = 0  # text messages that it has sent
        self.last_command_mono_ns = 0  # when the last of them was done
        self.gone = False
        self.blocked = False
        self._reset = False
        self._house = house
        self._make_output = make_output
        self._output: Output | None = None
        self._protocol: Any = ServerProtocol(max_size=_MESSAGE_BYTES_MAX, logger=_SILENT)
        self._fragments: list[bytes] | None = None
        self._finish_wanted = False
        self._finished = False
        self._deadline_s = now_s + _REQUEST_S

    @property
    def is_open(self) -> bool:
        """Whether the opening is done and no close is under way."""
        return not self.gone and not self._finish_wanted and self._protocol.state is OPEN

    @property
    def output(self) -> Output:
        """The output buffer, made when the first byte is due."""
        if self._output is None:
            self._output = self._make_output(self.number, self.connection)
        return self._output

    @property
    def pending_bytes(self) -> int:
        """How many bytes wait for the socket."""
        return 0 if self._output is None else self._output.pending_bytes

    @property
    def packets_queued(self) -> int:
        """How many packets were encoded for this client, sent or not."""
        return 0 if self._output is None else self._output.packets_queued

    @property
    def subscribed(self) -> int:
        """How many instruments this client has subscribed."""
        return 0 if self._output is None else self._output.subscribed

    # ---- in

    def on_readable(self, now_s: float) -> None:
        """Take what has arrived and act on it; a broken connection ends in `gone`."""
        for _ in range(_RECEIVES_PER_TURN):
            try:
                data = self.transport.receive()
            except OSError:
                self.drop()
                return
            if data is None:
                break
            self.take(data, now_s)
            if not data:
                return

    def take(self, data: bytes, now_s: float) -> None:
        """Act on what has arrived; b"" is the end of the stream."""
        self._protocol.receive_data(data) if data else self._protocol.receive_eof()
        for event in self._protocol.events_received():
            self._on_event(event)
        self._take_protocol_bytes(now_s)
        if not data:
            self.flush(now_s)  # a peer that has only stopped sending still hears the answer
            self.drop()

    def _on_event(self, event: object) -> None:
        if isinstance(event, Request):
            self._on_request(event)
        elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._on_message_part(event)

    def _on_request(self, request: Request) -> None:
        self._deadline_s = FOREVER
        number = request.headers.get(SIMULATOR_CONNECTION_HEADER, "")
        if number.isascii() and number.isdigit() and int(number) < 1 << 16:
            self.connection = int(number)
        refusal = self._house.admit(self, request.path)
        if refusal is None:
            response = self._protocol.accept(request)
        else:
            response = self._protocol.reject(refusal.status, refusal.text + "\n")
            if refusal.retry_after_s is not None:
                response.headers["Retry-After"] = str(refusal.retry_after_s)
        self._protocol.send_response(response)
        if self._protocol.state is OPEN:
            self._take_protocol_bytes(self.last_data_s)
            self._house.opened(self)

    def _on_message_part(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            self._fragments = []
        if self._fragments is None:  # part of a binary message, which clients have no use for
            return
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            text, self._fragments = b"".join(self._fragments), None
            self.commands += 1
            self._house.heard(self, text.decode("utf-8", "replace"))
            self.last_command_mono_ns = monotonic_ns()

    def _take_protocol_bytes(self, now_s: float) -> None:
        for chunk in self._protocol.data_to_send():
            if chunk:
                self.queue(chunk)
            else:
                self._finish_wanted = True
                self._deadline_s = min(self._deadline_s, now_s + _CLOSE_S)

    # ---- out

    def queue(self, data: bytes) -> None:
        """Queue bytes behind what waits; a client too far behind for that is dropped."""
        if not self.output.append(data):
            self.drop(reset=True)

    def queue_text(self, text: str) -> None:
        """Queue one text message."""
        self.queue(websocket_frame(0x1, text.encode()))

    def beat(self, now_s: float, period_s: float) -> None:
        """Queue a heartbeat if there was no data for a period."""
        if self.is_open and now_s - self.last_data_s >= period_s:
            self.last_data_s = now_s
            if not self.pending_bytes:
                self.queue(_HEARTBEAT)

    def flush(self, now_s: float) -> None:
        """Send what conditions and socket let through, and mind the deadline."""
        if self.gone:
            return
        if now_s >= self._deadline_s:
            self.drop()
            return
        try:
            if self.pending_bytes and not self._finished and not self.blocked:
                self._send_pieces(now_s)
            if self._finish_wanted and not self.pending_bytes and not self._finished:
                self._finished = True
                self.transport.finish()
        except OSError:
            self.drop()

    def _send_pieces(self, now_s: float) -> None:
        output = self.output
        for size in self.conditions.pieces(
            now_s, pending_frames=output.pending_frames, source=self.random
        ):
            sent = self.transport.send(output, size) if size else self.transport.send(output)
            self.blocked = bool(output.pending_bytes) and sent < (size or sent + 1)
            if self.blocked or not output.pending_bytes:
                break

    def pump(self, *, packets_per_frame: int, budget: int, now_s: float, clock_s: int) -> int:
        """Encode and send up to `budget` packets of load; return how many were encoded."""
        output = self.output
        if not self.conditions.data_allowed(now_s) or not output.subscribed:
            return 0
        encoded = 0
        if self.transport.compiled and self.conditions.calm(now_s):
            try:
                encoded = output.pump(
                    self.transport.fileno(),
                    packets_per_frame=packets_per_frame,
                    budget=budget,
                    now_s=clock_s,
                )
            except OSError:
                self.drop()
                return 0
            self.blocked = bool(output.pending_bytes)
        else:
            while encoded < budget and output.pending_bytes < _LOAD_BYTES:
                packets = min(packets_per_frame, budget - encoded)
                if not output.fill_next(packets, now_s=clock_s):
                    break
                encoded += packets
            self.flush(now_s)
        if encoded:
            self.last_data_s = now_s
        return encoded

    # ---- the end

    def close(self, code: int, reason: str, now_s: float) -> None:
        """Begin the closing handshake; the socket goes when the client answers, or after 2 s."""
        if self.is_open:
            self._protocol.send_close(code, reason)
            self._deadline_s = now_s + _CLOSE_S
            self._take_protocol_bytes(now_s)

    def finish(self, now_s: float) -> None:
        """Send FIN without a close frame, in the middle of whatever was under way."""
        self._finish_wanted = self._finished = True
        self._deadline_s = now_s + _CLOSE_S
        try:
            self.transport.finish(orderly=False)
        except OSError:
            self.drop()

    def drop(self, *, reset: bool = False) -> None:
        """Give the client up; whoever watches the socket calls `release` in the same turn."""
        if not self.gone:
            self.gone, self._reset = True, reset

    def release(self) -> None:
        """Close the socket; after `drop(reset=True)` the peer sees RST."""
        self.gone = True
        self.transport.close(reset=self._reset)

    def next_wake_s(self, now_s: float) -> float:
        """Return when this client needs a turn though nothing arrives."""
        change_s = self.conditions.next_change_s(now_s)
        if self.conditions.split_until_s > now_s and self.pending_bytes and not self.blocked:
            change_s = now_s
        return min(self._deadline_s, change_s)


def output_maker(
    market: Market, truth: TruthLog | None, subscriptions_max: int
) -> Callable[[int, int], Output]:
    """Return what makes a client's output buffer from its session and connection numbers."""

    def make(session: int, connection: int) -> Output:
        return Output(
            market,
            truth,
            session=session,
            connection=connection,
            capacity=max(_OUTPUT_BYTES, 2 * 186 * subscriptions_max),
            subscriptions_max=subscriptions_max,
        )

    return make
