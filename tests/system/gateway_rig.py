"""A run with a gateway, its keys, and clients that speak its protocol."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from pipeline.core.enums import SegmentKind, State
from pipeline.core.errors import SegmentError
from pipeline.instruments.catalogue import load
from pipeline.instruments.store import today_in_india, write_store
from pipeline.instruments.synthetic import synthetic_instruments
from pipeline.services.keys import KeyStore
from pipeline.shm.pages import StatusPage
from tests.system.rig import Run, wait_for

DEADLINE_S = 60.0
#: Rows of the list: all that the exchange may be asked for.
LISTED = 9000


_open: set[Client] = set()


class Client(WSListener):
    """A client in this process's event loop: keeps what it is told; `on_tick` sees each tick."""

    def __init__(self, on_tick: Callable[[dict[str, Any]], object] | None = None) -> None:
        self.told: list[dict[str, Any]] = []
        self.ticks: list[dict[str, Any]] = []
        self.modes: Counter[int] = Counter()
        self.on_tick = self.ticks.append if on_tick is None else on_tick
        self.closed = asyncio.Event()
        self.transport: WSTransport
        self.news = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        message = json.loads(frame.get_payload_as_bytes())
        if message.get("type") == "market_data":
            self.modes[message["mode"]] += 1
            self.on_tick(message)
        else:
            self.told.append(message)
        self.news.set()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        _open.add(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        _open.discard(self)
        self.closed.set()
        self.news.set()

    def send(self, **message: Any) -> None:
        self.transport.send(WSMsgType.TEXT, json.dumps(message).encode())

    async def until(
        self, condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S
    ) -> Any:
        """Wait until something that this client was told makes a condition true."""
        deadline = time.monotonic() + seconds
        while not (result := condition()):
            left = deadline - time.monotonic()
            assert left > 0, f"waited {seconds} s for: {what}; told {self.told[-3:]}"
            self.news.clear()
            try:
                async with asyncio.timeout(min(left, 0.5)):
                    await self.news.wait()
            except TimeoutError:
                pass
        return result

    async def answer(self, kind: str) -> dict[str, Any]:
        """Return the next answer of a type, or the next error."""

        def found() -> dict[str, Any] | None:
            for message in self.told:
                if message.get("type", "error") in (kind, "error"):
                    self.told.remove(message)
                    return message
            return None

        message: dict[str, Any] = await self.until(found, f"an answer {kind}")
        return message


async def leave() -> None:
    """End every client that is still there, and see its socket closed."""
    for client in list(_open):
        client.transport.disconnect(graceful=False)
        async with asyncio.timeout(DEADLINE_S):
            await client.closed.wait()


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a story with clients in an event loop of its own, and leave none of them open."""

    async def whole() -> None:
        try:
            await story()
        finally:
            await leave()

    asyncio.run(whole())


async def connect(url: str, key: str | None = None, **options: Any) -> Client:
    """Return a client that is connected and, with a key, authenticated."""
    _, client = await ws_connect(lambda: Client(**options), url)
    if key is not None:
        client.send(action="authenticate", api_key=key)
        answer = await client.answer("auth")
        assert answer["status"] == "success", answer
    return client


def gateway_config(folder: Path, more: str = "") -> str:
    """Return the config of a gateway, and make its instrument list."""
    instruments = synthetic_instruments(today_in_india(), rows=LISTED)
    write_store(instruments, file=folder / "list.sqlite", source="simulated")
    listed = '[instruments]\nfile = "list.sqlite"\n'
    return f'{listed}[gateway]\nport = 0\nkeys_file = "keys.sqlite"\n{more}\n'


class GatewayRun:
    """A run whose gateway answers."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.keys = KeyStore(run.folder / "keys.sqlite")
        self.page = wait_for(self._page, "the gateway to serve")

    def _page(self) -> StatusPage | None:
        process = self.run.process
        assert process is not None and process.poll() is None, self.run.log.read_text()
        try:
            page = StatusPage(self.run.attach(SegmentKind.GATEWAY_STATUS))
        except (FileNotFoundError, SegmentError):
            return None  # not yet, or being made just now
        return page if int(page.head["state"]) == State.LIVE else None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{int(self.page.record['port'])}"

    def key(self, name: str = "alice", account: str = "exchange") -> str:
        return self.keys.add(name, account)


def read_list(folder: Path) -> list[dict[str, str]]:
    """Return the instruments of a run's list as clients name them."""
    catalogue = load(folder / "list.sqlite")
    found = (catalogue.openalgo_key(one).partition(":") for one in catalogue)
    return [{"exchange": exchange, "symbol": symbol} for exchange, _, symbol in found]
