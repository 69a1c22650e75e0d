"""One WebSocket client that takes paced frames and notes how late each is.

    python -m benchmarks.peers.paced_reader KIND URL BYTES COUNT

Late means from just before the server's send to the return of the read that brought the frame
(ours, which is what a tick's receive time says) or to the entry of the user's code (the peers).
Prints quantiles in us and the CPU of one frame as JSON; the first tenth does not count.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any, Final

import numpy as np

from ext.bench import receive_bare
from ext.cells import Bell
from ext.rings import FrameRingReader, FrameRingWriter
from ext.websocket import FrameReader, StreamResult
from pipeline.core import layout
from pipeline.feed.handshake import Target, open_connection
from pipeline.feed.transport import make_transport
from pipeline.shm import specs
from pipeline.shm.segment import Segment

_RECEIVE_BYTES: Final = 256 << 10
_TURN_NS: Final = 50_000_000
_HEADER_BYTES: Final = 4  # of an unmasked frame of 126 to 65,535 bytes


class Late:
    """How late each frame was, and the CPU since the first that counts."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.skipped = count // 10
        self.late_ns = array("q")
        self._began_cpu_s = 0.0

    def take(self, payload: Any) -> bool:
        """Note one frame; return whether it was the last."""
        now_ns = time.monotonic_ns()
        self.late_ns.append(now_ns - int.from_bytes(payload[:8], "little"))
        done = len(self.late_ns)
        if done == self.skipped:
            self._began_cpu_s = time.process_time()
        return done >= self.count

    def result(self, cpu_s: float | None = None) -> dict[str, float]:
        """Return the quantiles and the CPU of one frame."""
        if cpu_s is None:
            cpu_s = time.process_time() - self._began_cpu_s
        counted = np.array(self.late_ns[self.skipped :]) / 1e3
        return {
            "p50": float(np.quantile(counted, 0.5)), "p99": float(np.quantile(counted, 0.99)),
            "cpu": cpu_s / len(counted) * 1e6,
        }  # fmt: skip


def pipeline(url: str, size: int, count: int) -> dict[str, float]:
    """Read as a feed does; the ring has room for all, and is looked at afterwards."""
    with tempfile.TemporaryDirectory() as name:
        spec = specs.frames(0, capacity=count + 64, area_bytes=(count + 64) * (size + 16))
        ring = Segment.create(Path(name) / "frames", spec, instance_id=bytes(16))
        bell = Segment.create(Path(name) / "bell", specs.bell(), instance_id=bytes(16))
        _touch(ring)
        writer = FrameRingWriter(ring.mapping)
        transport = make_transport(open_connection(Target(url=url)))
        reader = FrameReader(
            writer.message_bytes_max, _RECEIVE_BYTES, ring=writer,
            bell=Bell(bell.mapping, layout.data_offset), connection_epoch=1,
        )  # fmt: skip
        late = Late(count)
        began_cpu_s = 0.0
        while writer.tail < count:
            if not began_cpu_s and writer.tail >= late.skipped:
                began_cpu_s, late.skipped = time.process_time(), writer.tail
            result = transport.read(reader, wait_ns=_TURN_NS, want_write=False, turn_ns=_TURN_NS)
            if result == StreamResult.STREAM_ENDED:
                sys.exit(f"the stream ended, reason {reader.reason}")
        cpu_s = time.process_time() - began_cpu_s
        found = FrameRingReader(ring.mapping)
        while (message := found.poll()) is not None:
            sent_ns = int.from_bytes(message["payload"][:8], "little")
            late.late_ns.append(message["receive_mono_ns"] - sent_ns)
        transport.abort()
        return late.result(cpu_s)


def _touch(ring: Segment) -> None:
    """Go round the ring once, as a real feed's has: its pages are then there.

    The first touch of a page costs a fault, 1.4 us for each 4 KB on a virtual machine, and so half
    of that for each frame: it would be in the figures of a ring that is written to for the first
    time during the measurement, and is in those of no feed that has run for some seconds.
    """
    pages = np.frombuffer(ring.mapping, np.uint8)[:: mmap.PAGESIZE]
    pages |= 0  # a write that changes nothing: a read would not make them writable


def bare(url: str, size: int, count: int) -> dict[str, float]:
    """A blocking recv_into, and no WebSocket: what the socket and the wake-up alone ask for."""
    import websocket

    sock = websocket.create_connection(url).sock
    sock.setblocking(True)
    buffer = bytearray(_RECEIVE_BYTES)
    late = Late(count)
    over, have, frame_bytes = False, 0, size + _HEADER_BYTES
    while not over:
        have += sock.recv_into(memoryview(buffer)[have:])
        at = 0
        while have - at >= frame_bytes and not over:
            over = late.take(buffer[at + _HEADER_BYTES : at + _HEADER_BYTES + 8])
            at += frame_bytes
        buffer[: have - at] = buffer[at:have]
        have -= at
    found = late.result()
    sock.close()
    return found


def bare_c(url: str, size: int, count: int) -> dict[str, float]:
    """poll and recv in C, and no WebSocket: the floor under every client."""
    import websocket

    sock = websocket.create_connection(url).sock
    late = Late(count)
    late_ns = np.zeros(count, np.int64)
    cpu_ns = receive_bare(
        sock.fileno(), late_ns, frame_bytes=size + _HEADER_BYTES, stamp_at=_HEADER_BYTES,
        skipped=late.skipped,
    )  # fmt: skip
    late.late_ns.extend(late_ns.tolist())
    sock.close()
    return late.result(cpu_ns / 1e9)


def websocket_client(url: str, size: int, count: int) -> dict[str, float]:
    """websocket-client, `recv_data_frame`."""
    import websocket

    sock = websocket.create_connection(url, skip_utf8_validation=True)
    late = Late(count)
    while not late.take(sock.recv_data_frame()[1].data):
        pass
    found = late.result()
    sock.shutdown()
    return found


def websockets(url: str, size: int, count: int) -> dict[str, float]:
    """websockets, its asyncio client without compression."""
    from websockets.asyncio.client import connect

    async def read() -> dict[str, float]:
        late = Late(count)
        async with connect(url, compression=None, max_size=None) as sock:
            while not late.take(await sock.recv()):
                pass
            found = late.result()
            sock.transport.abort()
        return found

    return asyncio.run(read())


def picows(url: str, size: int, count: int) -> dict[str, float]:
    """picows on asyncio, which looks at the first bytes in place."""
    import picows as library

    late = Late(count)

    async def read() -> dict[str, float]:
        over = asyncio.get_running_loop().create_future()

        class Listener(library.WSListener):  # type: ignore[misc, name-defined]
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                if late.take(frame.get_payload_as_memoryview()) and not over.done():
                    over.set_result(late.result())

        transport, _ = await library.ws_connect(Listener, url)
        found: dict[str, float] = await over
        transport.underlying_transport.abort()
        return found

    return asyncio.run(read())


KINDS: Final = {
    "pipeline": pipeline, "websocket-client": websocket_client, "websockets": websockets,
    "picows": picows, "bare": bare, "bare-c": bare_c,
}  # fmt: skip


def main() -> None:
    """Measure one connection."""
    kind, url, size, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    print(json.dumps(KINDS[kind](url, size, count)))


if __name__ == "__main__":
    main()
