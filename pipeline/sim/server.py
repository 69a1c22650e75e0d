"""Running the simulated exchange: one process, one thread, one selector. Floor 4.

`run_simulator` is what a supervisor forks and what the command line calls. It ends on SIGTERM or
SIGINT, flushes the truth log and leaves nothing behind. Accepting, reading and timers are here;
what is sent to whom is `exchange.py`'s.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Final

from ext.simulate import TruthLog
from pipeline.core.errors import PipelineError
from pipeline.core.exit_codes import ExitCode
from pipeline.core.local_socket import listen_local
from pipeline.sim.client import Client
from pipeline.sim.control import ControlPeer
from pipeline.sim.exchange import Exchange
from pipeline.sim.faults import Script, load_script, parse_script
from pipeline.sim.gate import Delivered, Gate
from pipeline.sim.lobby import Lobby
from pipeline.sim.options import SimulatorOptions
from pipeline.sim.pulse import Pulse
from pipeline.sim.reader_page import ReaderPage
from pipeline.sim.transport import PlainTransport, TlsTransport, tls_context
from pipeline.sim.truth import create_truth

_BACKLOG: Final = 128
_LONGEST_WAIT_S: Final = 1.0
_HALF_OPEN_SWEEP_S: Final = 1.0
_SELECTOR_TICK_S: Final = 0.001  # it waits for whole milliseconds
_NO_DESCRIPTOR_WAIT_S: Final = 0.01

Callback = Callable[[int, float], None]


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen; port 0 takes any free one. Raises PipelineError with what to do."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        is_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        mend = "name an address of this machine with --host" if is_host else "choose another --port"
        raise PipelineError(
            f"{host}:{port} cannot be bound: {error.strerror}; {mend}, or leave it out"
        ) from error
    return listener


def run_simulator(
    options: SimulatorOptions,
    listen_socket: socket.socket | None = None,
    control: socket.socket | None = None,
    *,
    reader: Delivered | None = None,
    announce: Callable[[int], None] | None = None,
    pulse: Pulse | None = None,
) -> int:
    """Serve until a signal says stop; return the exit code.

    `listen_socket` (bound and listening) and `control` (connected) are taken over and closed, and
    replace what the options say; so does `reader` for the one that load mode is gated on.
    `announce` is called with the port once clients are welcome; `pulse` beats while the loop
    turns. Raises PipelineError, and
    ConfigError for a bad script.
    """
    options.checked()
    with ExitStack() as stack:
        server = Server(options, stack, listen_socket, control, reader, pulse)
        stop = server.stop
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is signal.SIG_IGN:
                    continue  # a supervisor's child leaves Ctrl-C to its parent
                before = signal.signal(number, stop)
                stack.callback(signal.signal, number, before)
        if announce is not None:
            announce(server.port)
        server.run()
        return server.exit_code


class Server:
    """The loop and everything it owns; `stack` closes it all."""

    def __init__(
        self,
        options: SimulatorOptions,
        stack: ExitStack,
        listener: socket.socket | None,
        control: socket.socket | None,
        reader: Delivered | None,
        pulse: Pulse | None = None,
    ) -> None:
        now_s = time.monotonic()
        self.exit_code = int(ExitCode.DONE)
        self._stopping = False
        self._pulse = pulse
        self._longest_wait_s = _LONGEST_WAIT_S
        if pulse is not None:
            self._longest_wait_s = min(_LONGEST_WAIT_S, pulse.interval_s)
        self._listener = listen(options.host, options.port) if listener is None else listener
        stack.enter_context(self._listener)
        self._listener.setblocking(False)
        self._tls = None
        if options.tls_cert is not None and options.tls_key is not None:
            self._tls = tls_context(options.tls_cert, options.tls_key)
        self._truth = self._open_truth(options, stack)
        if reader is None and options.gate is not None and options.instance_directory is not None:
            reader = ReaderPage(options.instance_directory, options.gate)
        gate = None if reader is None else Gate(reader)
        self.exchange = Exchange(options, truth=self._truth, gate=gate, now_s=now_s)
        if options.faults is None:
            self._script: Script = parse_script([], source="none", start_s=now_s)
        else:
            self._script = load_script(options.faults, start_s=now_s)
        self._selector = stack.enter_context(selectors.DefaultSelector())
        self._lobby = Lobby(self._selector, self.exchange.desk, self._on_opening)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, self._wake_read)
        stack.callback(os.close, self._wake_write)
        stack.callback(self._close_all)
        self._peers: list[ControlPeer] = []
        self._watched: set[Client] = set()
        self._writing: set[Client] = set()
        self._next_sweep_s = now_s
        self._register(self._wake_read, self._on_wake)
        self._register(self._listener, self._on_accept)
        if control is not None:
            self._add_peer(control)
        if options.control is not None:
            self._control_listener = stack.enter_context(listen_local(options.control))
            stack.callback(options.control.unlink, missing_ok=True)
            self._register(self._control_listener, self._on_control_accept)

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return int(self._listener.getsockname()[1])

    def stop(self, number: int, frame: FrameType | None) -> None:
        """End the loop soon: the signal handler."""
        self._stopping = True
        if number == signal.SIGINT:
            self.exit_code = int(ExitCode.INTERRUPTED)
        os.write(self._wake_write, b"\0")

    def run(self) -> None:
        """Serve until stopped."""
        while not self._stopping:
            now_s = time.monotonic()
            wait_s = max(0.0, min(self._wake_s(now_s) - now_s, self._longest_wait_s))
            if 0 < wait_s < _SELECTOR_TICK_S:
                time.sleep(wait_s)
                wait_s = 0.0
            for key, events in self._selector.select(wait_s):
                key.data(events, time.monotonic())
            self._turn(time.monotonic())
            if self._pulse is not None:
                self._pulse.beat(self.exchange.sessions)
        if self._truth is not None:
            self._truth.flush()

    def _wake_s(self, now_s: float) -> float:
        wakes = [client.next_wake_s(now_s) for client in self.exchange.clients]
        own = (self.exchange.next_wake_s(now_s), self._script.next_wake_s())
        return min(*own, self._lobby.next_wake_s(), *wakes)

    def _turn(self, now_s: float) -> None:
        self._script.step(self.exchange, now_s)
        self.exchange.step(now_s)
        if now_s >= self._next_sweep_s:
            self._next_sweep_s = now_s + _HALF_OPEN_SWEEP_S
            self._sweep_half_open()
        self._lobby.turn(now_s)
        for client in list(self.exchange.clients):
            client.flush(now_s)
            if client.gone:
                self._forget(client)
            elif client.conditions.half_open:
                self._unregister(client)
            else:
                self._want_writes(client)

    # ---- what the selector calls

    def _on_wake(self, events: int, now_s: float) -> None:
        os.read(self._wake_read, 512)

    def _on_accept(self, events: int, now_s: float) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            time.sleep(_NO_DESCRIPTOR_WAIT_S)  # it stays in the backlog until there is room
            return
        transport = PlainTransport(sock) if self._tls is None else TlsTransport(sock, self._tls)
        self._lobby.accept(transport, now_s)

    def _on_opening(self, transport: PlainTransport, arrived: list[bytes], now_s: float) -> None:
        client = self.exchange.accept(transport, now_s)
        self._watched.add(client)
        self._register(transport, lambda e, now: self._on_client(client, e, now))
        for data in arrived:
            client.take(data, now_s)

    def _on_client(self, client: Client, events: int, now_s: float) -> None:
        if client.gone:
            return
        if events & selectors.EVENT_WRITE:
            client.blocked = False
        if events & selectors.EVENT_READ:
            client.on_readable(now_s)

    def _on_control_accept(self, events: int, now_s: float) -> None:
        try:
            sock, _ = self._control_listener.accept()
        except (BlockingIOError, InterruptedError):
            return
        self._add_peer(sock)

    def _add_peer(self, sock: socket.socket) -> None:
        peer = ControlPeer(sock)
        self._peers.append(peer)
        self._register(sock, lambda e, now: self._on_peer(peer, now))

    def _on_peer(self, peer: ControlPeer, now_s: float) -> None:
        peer.on_readable(self.exchange, now_s)
        if peer.gone:
            self._selector.unregister(peer.sock)
            self._peers.remove(peer)
            peer.sock.close()

    # ---- registrations

    def _register(self, thing: int | socket.socket | PlainTransport, callback: Callback) -> None:
        self._selector.register(thing, selectors.EVENT_READ, callback)

    def _unregister(self, client: Client) -> None:
        if client in self._watched:
            self._watched.remove(client)
            self._writing.discard(client)
            self._selector.unregister(client.transport)

    def _want_writes(self, client: Client) -> None:
        if client.blocked != (client in self._writing):
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.blocked else 0)
            data = self._selector.get_key(client.transport).data
            self._selector.modify(client.transport, events, data)
            self._writing.symmetric_difference_update({client})

    def _forget(self, client: Client) -> None:
        self._unregister(client)
        self.exchange.forget(client)
        client.release()

    def _sweep_half_open(self) -> None:
        for client in self.exchange.clients:
            if client.conditions.half_open and not client.transport.established():
                client.drop()

    def _close_all(self) -> None:
        self._lobby.close()
        for client in list(self.exchange.clients):
            self._forget(client)
        for peer in self._peers:
            peer.sock.close()

    @staticmethod
    def _open_truth(options: SimulatorOptions, stack: ExitStack) -> TruthLog | None:
        if options.truth is None:
            return None
        about = {
            "run": options.run or uuid.uuid4().hex,
            "seed": options.seed,
            "mode": options.mode,
            "instruments": options.instruments,
        }
        try:
            descriptor = create_truth(options.truth, about)
        except OSError as error:
            raise PipelineError(f"truth log {options.truth}: {error.strerror}") from error
        stack.callback(os.close, descriptor)
        return TruthLog(descriptor)
