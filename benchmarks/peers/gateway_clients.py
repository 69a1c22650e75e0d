"""Clients of a WebSocket server, all in one event loop: they count, and say how old messages are.

    python -m benchmarks.peers.gateway_clients SPEC

SPEC is a file of JSON: url, key (none for servers without a protocol), ages (false: only count) and
groups of {count, kind, mode, symbols}: kind is fast, slow, stalled or idle, symbols a list for each
client in turn; and gate, {directory, instance, name} of the reader that these clients are to the
exchange, which then sends no more than all of them have received. Prints a line when all have what
they asked for, and then answers

- `window SECONDS [FILE]` with what a window brought; FILE gets (exchange:symbol, volume, monotonic
  ns) of every message,
- `keep COUNT FILE` with how many messages are in FILE now, as they came, one to a line,
- `leave` with how many messages some client is missing, when all is taken and nothing more comes.

Slow clients read 10 ms in each half second, stalled ones nothing from the first window on. Of a
group of kind flood, `count` connections are begun each second of a window, which never say a word.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.peers.taken import Taken

_STAMP: Final = b'"receive_timestamp":'
_MS: Final = 1_000_000
_SLOW_PAUSE_S: Final = 0.5
_SLOW_READ_S: Final = 0.01
#: Each client tells so seldom how far it is: far less than may be under way.
_TELL_EVERY: Final = 32
_SETTLED_S: Final = 0.4
_LEAVE_WITHIN_S: Final = 10.0
_TEXT: Any = WSMsgType.TEXT
_CLOSE: Any = WSMsgType.CLOSE


class Client(WSListener):
    """One connection; keeps times only during a window."""

    def __init__(self, kind: str, *, ages: bool) -> None:
        self.kind = kind
        self.transport: WSTransport
        self.received = 0
        self.received_before = 0
        self.acks = 0
        self.ages = array("q")
        self.noted: list[tuple[int, bytes]] | None = None
        self.last_ns = 0
        self.gap_ns = 0
        self.closed_ns = 0
        self.wants_ages = ages
        self.counts_only = False
        self.tell: Callable[[], object] = _nothing

    @property
    def messages(self) -> int:
        """How many came in this window."""
        return self.received - self.received_before

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == _CLOSE:
            transport.disconnect()
            return
        if frame.msg_type != _TEXT:
            return
        self.received += 1
        if not self.received % _TELL_EVERY:
            self.tell()
        if self.counts_only:
            return
        now_ns = time.monotonic_ns()
        payload = frame.get_payload_as_bytes()
        at = payload.find(_STAMP)
        if at < 0:
            self.received -= 1
            self.acks += payload.startswith((b'{"type":"auth"', b'{"type":"subscribe"'))
            self.acks += payload.startswith((b'{"type": "auth"', b'{"type": "subscribe"'))
            return
        if self.noted is not None:
            self.noted.append((now_ns, payload))
        start = at + len(_STAMP)
        self.ages.append(time.time_ns() - int(payload[start : start + 13]) * _MS)
        if self.last_ns:
            self.gap_ns = max(self.gap_ns, now_ns - self.last_ns)
        self.last_ns = now_ns

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed_ns = time.monotonic_ns()

    def begin(self) -> None:
        """Forget what was before."""
        self.counts_only = not self.wants_ages
        self.received_before, self.gap_ns = self.received, 0
        self.last_ns = time.monotonic_ns()
        self.ages = array("q")

    def send(self, **message: Any) -> None:
        self.transport.send(WSMsgType.TEXT, json.dumps(message).encode())


async def connect(spec: dict[str, Any], group: dict[str, Any], number: int) -> Client:
    """Return a client that has what its group asks for."""
    key = spec.get("key")
    client = Client(group["kind"], ages=spec.get("ages", True))
    client.transport, _ = await ws_connect(lambda: client, spec["url"])
    if key is None:
        client.counts_only = True
        return client
    client.send(action="authenticate", api_key=key)
    symbols = group.get("symbols") or []
    if symbols:
        mine = [dict(zip(("exchange", "symbol"), one, strict=True))
                for one in symbols[number % len(symbols)]]  # fmt: skip
        client.send(action="subscribe", symbols=mine, mode=group["mode"])
    while client.acks < 1 + bool(symbols):
        if client.closed_ns:
            raise RuntimeError("the server closed a client at its start")
        await asyncio.sleep(0.005)
    return client


def summary(clients: list[Client], begun_ns: int, seconds: float) -> dict[str, Any]:
    """Return what a window brought to the clients of one kind."""
    none = np.zeros(0, np.int64)
    ages = np.concatenate([none, *(np.frombuffer(c.ages, np.int64) for c in clients)])
    found = np.percentile(ages / 1e6, (50, 99)).tolist() if len(ages) else [0.0, 0.0]
    closed = [(c.closed_ns - begun_ns) / 1e9 for c in clients if c.closed_ns]
    return {
        "clients": len(clients), "messages": sum(c.messages for c in clients),
        "per_s": sum(c.messages for c in clients) / seconds,
        "fewest": min((c.messages for c in clients), default=0),
        "p50_ms": found[0], "p99_ms": found[1],
        "gap_ms": max((c.gap_ns for c in clients), default=0) / 1e6,
        "closed_s": closed,
    }  # fmt: skip


async def read_slowly(client: Client) -> None:
    """Read a little now and then, until the end."""
    raw = client.transport.underlying_transport
    while not client.closed_ns:
        raw.pause_reading()
        await asyncio.sleep(_SLOW_PAUSE_S)
        raw.resume_reading()
        await asyncio.sleep(_SLOW_READ_S)


async def flood(url: str, per_s: int) -> None:
    """Connect so often a second, without a word; what the server closes is gone."""
    silent: list[Client] = []
    while True:
        client = Client("flood", ages=False)
        client.counts_only = True
        client.transport, _ = await ws_connect(lambda c=client: c, url)
        silent = [one for one in silent if not one.closed_ns]
        silent.append(client)
        await asyncio.sleep(1 / per_s)


async def window(clients: list[Client], seconds: float, file: str | None) -> dict[str, Any]:
    """Let a window pass and return a summary for each kind."""
    for client in clients:
        client.begin()
        client.noted = [] if file is not None else None
    begun_ns = time.monotonic_ns()
    cpu_s = time.process_time()
    await asyncio.sleep(seconds)
    taken_s = (time.monotonic_ns() - begun_ns) / 1e9
    kinds = sorted({client.kind for client in clients})
    result: dict[str, Any] = {
        kind: summary([c for c in clients if c.kind == kind], begun_ns, taken_s) for kind in kinds
    }
    result["cpu_s"] = time.process_time() - cpu_s
    if file is not None:
        save(clients, file)
    return result


def save(clients: list[Client], file: str) -> None:
    """Write every noted message's instrument, volume and time."""
    keys, volumes, times = [], [], []
    for client in clients:
        for now_ns, payload in client.noted or ():
            data = json.loads(payload)["data"]
            keys.append(f"{data['exchange']}:{data['symbol']}")
            volumes.append(data.get("volume", 0))
            times.append(now_ns)
        client.noted = None
    np.savez(file, keys=np.array(keys), volumes=np.array(volumes), times=np.array(times))


async def keep(client: Client, count: int, file: str) -> dict[str, Any]:
    """Write a client's next messages, one to a line."""
    client.noted, client.counts_only = [], False
    while len(client.noted) < count:
        if client.closed_ns:
            raise RuntimeError("the server closed a client whose messages were to be kept")
        await asyncio.sleep(0.005)
    client.counts_only = not client.wants_ages
    payloads, client.noted = [payload for _, payload in client.noted[:count]], None
    Path(file).write_bytes(b"\n".join(payloads))
    return {"kept": len(payloads)}


async def leave(taken: Taken) -> dict[str, Any]:
    """Stop the source, take what is under way, and say whether anybody is missing any of it."""
    taken.close()
    published, settled_s, end_s = -1, 0.0, time.monotonic() + _LEAVE_WITHIN_S
    while time.monotonic() < end_s:
        now_s = time.monotonic()
        if taken.missing or taken.published != published:
            published, settled_s = taken.published, now_s
        elif now_s - settled_s > _SETTLED_S:
            break
        await asyncio.sleep(0.01)
    return {"missing": taken.missing}


async def answer(
    clients: list[Client], taken: Taken | None, question: str, arguments: list[str]
) -> dict[str, Any]:
    """Do what was asked, and return what is to be said."""
    if question == "keep":
        return await keep(clients[0], int(arguments[0]), arguments[1])
    if question == "leave" and taken is not None:
        return await leave(taken)
    return await window(clients, float(arguments[0]), arguments[1] if arguments[1:] else None)


def _nothing() -> None:
    """What a client tells that gates nothing."""


async def main() -> None:
    """Connect, then answer questions until nobody asks any more."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    clients: list[Client] = []
    floods = [group["count"] for group in spec["groups"] if group["kind"] == "flood"]
    for group in spec["groups"]:
        if group["kind"] == "flood":
            continue
        for start in range(0, group["count"], 50):
            numbers = range(start, min(start + 50, group["count"]))
            clients += await asyncio.gather(*(connect(spec, group, n) for n in numbers))
    taken = None
    if gate := spec.get("gate"):
        taken = Taken(Path(gate["directory"]), gate["instance"], gate["name"], clients)
        for client in clients:
            client.tell, client.counts_only = taken.note, not client.wants_ages
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        question, *arguments = line.split()
        if not tasks:
            tasks = [loop.create_task(read_slowly(c)) for c in clients if c.kind == "slow"]
            tasks += [loop.create_task(flood(spec["url"], per_s)) for per_s in floods]
            for client in clients:
                if client.kind == "stalled":
                    client.transport.underlying_transport.pause_reading()
        print(json.dumps(await answer(clients, taken, question, arguments)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
