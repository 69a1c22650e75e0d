"""Run Autobahn|Testsuite's fuzzing server against the frame reader: an echo client.

The client contract of the suite: `/getCaseCount` answers with a text, `/runCase` is echoed until
the server closes, `/updateReports` writes the verdicts. Message and reader are the product's; the
socket handling here is as plain as it can be (blocking sends, one case after the other).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Final

from ext.websocket import FrameReader, StreamResult, WsOpcode, encode_close, encode_frame
from pipeline.feed.handshake import Target, open_connection

AGENT: Final = "tickrail"
MESSAGE_BYTES_MAX: Final = 16 << 20
CASE_DEADLINE_S: Final = 60.0


def count_cases(port: int) -> int:
    """Ask the fuzzing server how many cases its specification selects."""
    messages = list(_converse(port, "/getCaseCount", echo=False))
    return int(messages[0])


def run_case(port: int, case: int) -> None:
    """Echo one case's messages until either side closes."""
    for _ in _converse(port, f"/runCase?case={case}&agent={AGENT}", echo=True):
        pass


def update_reports(port: int) -> None:
    """Have the server write its verdicts."""
    for _ in _converse(port, f"/updateReports?agent={AGENT}", echo=False):
        pass


def _converse(port: int, path: str, *, echo: bool) -> Iterator[bytes]:
    target = Target(url=f"ws://127.0.0.1:{port}{path}")
    sock = open_connection(target)
    sock.setblocking(True)
    sock.settimeout(CASE_DEADLINE_S)
    reader = FrameReader(MESSAGE_BYTES_MAX, fragments_max=1 << 20)
    with sock:
        try:
            yield from _exchange(sock, reader, echo=echo)
        except OSError:
            return  # many cases end with a reset; the server's verdict says whether it may


def _exchange(sock: socket.socket, reader: FrameReader, *, echo: bool) -> Iterator[bytes]:
    silent_until_s = time.monotonic() + CASE_DEADLINE_S
    while True:
        result = reader.read_fd(sock.fileno(), wait_ns=int(CASE_DEADLINE_S * 1e9))
        for opcode, payload, _, _ in reader.take_events():
            if opcode == WsOpcode.WS_PING:
                sock.sendall(encode_frame(WsOpcode.WS_PONG, payload))
            elif opcode == WsOpcode.WS_CLOSE:
                sock.sendall(encode_frame(WsOpcode.WS_CLOSE, payload))
                _drain(sock)
                return
            elif opcode != WsOpcode.WS_PONG:
                if echo:
                    sock.sendall(encode_frame(opcode, payload))
                yield payload
        if result == StreamResult.STREAM_ENDED:
            if reader.close_code:
                sock.sendall(encode_close(reader.close_code))
                _drain(sock)
            return
        # A wait also ends early, for the caller's duties, while a frame is incomplete.
        now_s = time.monotonic()
        if result != StreamResult.STREAM_IDLE:
            silent_until_s = now_s + CASE_DEADLINE_S
        assert now_s < silent_until_s, "the fuzzing server went silent"


def _drain(sock: socket.socket) -> None:
    # The server closes first; reading to its end avoids a reset that would hide our close frame.
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        pass
