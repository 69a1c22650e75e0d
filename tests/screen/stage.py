"""A control process and a gateway as the page sees them: scripted, on loopback, in a thread.

The page's files and headers are the product's; figures are made by the product's own document out
of nothing but numbers. The gateway speaks the protocol as far as the page uses it.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from pipeline.services.control.api.page import Page
from tests.screen import figures

KEY: Final = "page.secret"
MODES: Final = {1: "LTP", 2: "Quote", 3: "Depth"}
WAIT_S: Final = 30.0


class Stage:
    """What there is; change the attributes while it runs, from any thread."""

    def __init__(self, *, instruments: int = 40, connections: int = 3, tick_s: float = 0.1) -> None:
        self.document: Callable[[], dict[str, Any]] = lambda: figures.document(
            connections, instruments, self.elapsed_s
        )
        self.instruments = figures.instruments(instruments, connections)
        self.signed_in = True
        self.has_gateway = True
        self.figures_on = True
        self.ticking = True
        self.refuses: set[str] = set()  # symbols that nobody may subscribe to
        self.tick_s = tick_s
        self.documents_sent = 0
        self.subscriptions = 0  # names that are subscribed at this moment, of all clients
        self.most_subscriptions = 0
        self._began_s = time.monotonic()
        self._prices: dict[str, float] = {}
        self._random = random.Random(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._up = threading.Event()
        self._gateway: Any = None
        self.gateway_port = 0
        self.port = 0
        self._thread.start()
        assert self._up.wait(WAIT_S)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def elapsed_s(self) -> float:
        """How long it has been there."""
        return time.monotonic() - self._began_s

    def stop_gateway(self) -> None:
        """End the gateway: its clients are cut off, its port is closed."""
        self._do(self._close_gateway())

    def start_gateway(self) -> None:
        """Start it again where it was."""
        self._do(self._open_gateway())

    def close(self) -> None:
        """End all of it."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(WAIT_S)
        self._loop.close()

    # ---- inside -----------------------------------------------------------------------------

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        page = Page()

        def file(request: Request) -> Response:
            name = request.path_params.get("name", "index.html")
            gateway = f"ws://127.0.0.1:{self.gateway_port}"
            return page.answer(name, gateway=gateway if name == "index.html" else None)

        routes = [
            Route("/", file), Route("/screen/state", self._state),
            Route("/screen/events", self._events), Route("/screen/instruments", self._list),
            Route("/api/websocket/config", self._config),
            Route("/api/websocket/apikey", self._key), Route("/screen/{name:path}", file),
        ]  # fmt: skip
        config = uvicorn.Config(
            Starlette(routes=routes), host="127.0.0.1", port=0, log_config=None, lifespan="off",
            ws="none", timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        await self._open_gateway()
        serving = asyncio.ensure_future(self._server._serve())
        while not self._server.started:
            await asyncio.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        self._up.set()
        await serving
        await self._close_gateway()

    def _refused(self) -> Response | None:
        if not self.signed_in:
            return JSONResponse({"detail": "There is no session"}, 401)
        return None

    async def _state(self, request: Request) -> Response:
        if not self.figures_on:
            return JSONResponse({"detail": "starting"}, 503)
        return self._refused() or JSONResponse(self.document())

    async def _events(self, request: Request) -> Response:
        if not self.figures_on:
            return JSONResponse({"detail": "starting"}, 503)
        return self._refused() or StreamingResponse(self._tell(), media_type="text/event-stream")

    async def _tell(self) -> AsyncIterator[str]:
        after = 0
        while self.figures_on and self.signed_in and not self._server.should_exit:
            found = self.document()
            found["happenings"] = [row for row in found["happenings"] if row["number"] > after]
            after = max((row["number"] for row in found["happenings"]), default=after)
            self.documents_sent += 1
            yield f"data: {json.dumps(found)}\n\n"
            await asyncio.sleep(0.5)
        if not self.signed_in:
            yield "event: expired\ndata: {}\n\n"

    async def _list(self, request: Request) -> Response:
        return self._refused() or JSONResponse(self.instruments)

    async def _config(self, request: Request) -> Response:
        if not self.has_gateway:
            return JSONResponse({"status": "error", "message": "No gateway is configured."}, 404)
        url = f"ws://127.0.0.1:{self.gateway_port}"
        document = {"status": "success", "websocket_url": url, "is_secure": False}
        return self._refused() or JSONResponse(document)

    async def _key(self, request: Request) -> Response:
        return self._refused() or JSONResponse({"status": "success", "api_key": KEY})

    # ---- the gateway ------------------------------------------------------------------------

    async def _open_gateway(self) -> None:
        self._gateway = await serve(
            self._client, "127.0.0.1", self.gateway_port, compression=None, close_timeout=1
        )
        self.gateway_port = next(iter(self._gateway.sockets)).getsockname()[1]

    async def _close_gateway(self) -> None:
        self._gateway.close()
        await self._gateway.wait_closed()

    async def _client(self, socket: ServerConnection) -> None:
        wanted: dict[tuple[str, str], int] = {}
        ticking = asyncio.ensure_future(self._tick(socket, wanted))
        try:
            async for text in socket:
                before = len(wanted)
                await socket.send(json.dumps(self._answer(json.loads(text), wanted)))
                self.subscriptions += len(wanted) - before
                self.most_subscriptions = max(self.subscriptions, self.most_subscriptions)
        except ConnectionClosed:
            pass
        finally:
            self.subscriptions -= len(wanted)
            ticking.cancel()

    def _answer(self, asked: dict[str, Any], wanted: dict[Any, int]) -> dict[str, Any]:
        action = asked.get("action")
        if action == "authenticate":
            if asked["api_key"] != KEY:
                return {
                    "status": "error",
                    "code": "AUTHENTICATION_ERROR",
                    "message": "Invalid API key",
                }
            return {"type": "auth", "status": "success", "broker": "zerodha"}
        if action == "ping":
            return {"type": "pong", "status": "success", "server_timestamp": 1}
        rows = asked.get("symbols") or [asked]
        names = [(row.get("exchange", ""), row.get("symbol", "")) for row in rows]
        if action == "subscribe":
            good = [name for name in names if name[1] not in self.refuses]
            wanted.update(dict.fromkeys(good, asked.get("mode", 2)))
            items = [
                {"symbol": symbol, "exchange": exchange, "mode": "LTP",
                 "status": "success" if symbol not in self.refuses else "error",
                 "message": "no room"}
                for exchange, symbol in names
            ]  # fmt: skip
            return {"type": "subscribe", "status": "success", "subscriptions": items}
        if action == "unsubscribe":
            for name, row in zip(names, rows, strict=True):
                if wanted.get(name) == row.get("mode", 2):
                    del wanted[name]
            return {"type": "unsubscribe", "status": "success", "successful": [], "failed": []}
        return {"status": "error", "code": "INVALID_ACTION", "message": f"Invalid action: {action}"}

    async def _tick(self, socket: ServerConnection, wanted: dict[Any, int]) -> None:
        try:
            while True:
                for (exchange, symbol), mode in list(wanted.items()) if self.ticking else []:
                    tick = self._make_tick(exchange, symbol, mode)
                    await socket.send(json.dumps(tick))
                await asyncio.sleep(self.tick_s)
        except ConnectionClosed:
            return

    def _make_tick(self, exchange: str, symbol: str, mode: int) -> dict[str, Any]:
        name = f"{exchange}:{symbol}"
        base = 100.0 + sum(map(ord, name)) % 2000
        step = self._random.choice((-0.15, -0.05, 0.0, 0.05, 0.1))
        ltp = round(self._prices.get(name, base) + step, 2)
        self._prices[name] = ltp
        data = figures.tick(exchange, symbol, mode, ltp, base, self._random)
        return {
            "type": "market_data", "symbol": symbol, "exchange": exchange, "mode": mode,
            "data": data, "broker": "zerodha",
        }  # fmt: skip
