"""The gateway's process: reads ticks like any strategy, and serves OpenAlgo's clients. Floor 4.

One event loop, which nothing keeps waiting: shared memory is read when its bell rings, a bounded
batch at a time, and everybody else has a turn in between. Keys are looked at and the pool is asked
in threads. Its death costs no other process anything; clients reconnect to its successor.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ext.encode import MarketEncoder
from pipeline.core.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from pipeline.core.config import Config
from pipeline.core.enums import Reason, Role, SegmentKind, State
from pipeline.core.errors import InstanceEnded
from pipeline.core.exit_codes import ExitCode
from pipeline.core.plan import plan_topology
from pipeline.services.gateway.client import Client
from pipeline.services.gateway.demand import Demand
from pipeline.services.gateway.desk import Desk
from pipeline.services.gateway.fanout import Fanout
from pipeline.services.gateway.house import House, own_pages
from pipeline.services.gateway.index import Index
from pipeline.services.gateway.names import Names
from pipeline.services.gateway.orders import Orders
from pipeline.services.gateway.outbox import Outbox, Sums, slot_of
from pipeline.services.gateway.server import raise_descriptor_limit
from pipeline.services.gateway.session import Listed
from pipeline.services.gateway.status import Shown
from pipeline.services.keys import KeyStore, default_file
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.strategy.items import OrderUpdate, Overrun, Ticks
from pipeline.strategy.latest import OwnersLatest
from pipeline.strategy.market import attach

#: Most ticks between two turns of the loop.
BATCH_TICKS: Final = 512
_TURN_S: Final = 0.05
_SHOW_NS: Final = 250 * NS_PER_MS
_KEYS_NS: Final = 5 * NS_PER_S
_LIST_NS: Final = 60 * NS_PER_S
_WAIT_NS: Final = 100 * NS_PER_MS
#: What loading the instrument list may take before this process counts as hung.
_LOAD_NS: Final = 30 * NS_PER_S
_ATTACH_WITHIN_S: Final = 10.0
_END_S: Final = 0.3
_STREAMING: Final = frozenset({State.LIVE, State.QUIET})

_log = logging.getLogger(__name__)


def run_gateway(config: Config, paths: InstancePaths, listener: socket.socket | None) -> int:
    """Be the gateway of an instance until SIGTERM; return the exit code.

    `listener` is bound and listening, and stays the supervisor's.
    """
    assert listener is not None, "the supervisor binds it"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # clients' keys pass through this memory
    gateway = Gateway(config, paths, listener)
    try:
        return asyncio.run(gateway.run())
    finally:
        gateway.close()


class Gateway:
    """The parts of a gateway, and the loop that turns them."""

    def __init__(self, config: Config, paths: InstancePaths, listener: socket.socket) -> None:
        assert config.gateway is not None
        self._config = config.gateway
        kind = SegmentKind.GATEWAY_STATUS
        self.page = StatusPage(Segment.attach(paths.segment(kind), kind, writable=True))
        self.page.begin(Role.GATEWAY)
        self.page.set_state(State.CONNECTING, Reason.STARTED)
        self._listener = listener
        self.port = int(listener.getsockname()[1])
        self.ticks_lost = self.orders_lost = self.demand_refused = 0
        self.sums, self.index = Sums(), Index()
        self._encoder = MarketEncoder()
        self._names = Names(config.instruments_file, self._introduce)
        self._load_list()
        self.market = attach(
            paths.name, name="gateway", shm_directory=paths.root, wait_s=_ATTACH_WITHIN_S,
            buffer_ticks=BATCH_TICKS, instruments_file=config.instruments_file,
        )  # fmt: skip
        self._latest = OwnersLatest(paths)
        self._loop: asyncio.AbstractEventLoop | None = None
        dirty: list[Outbox] = []
        self.fanout = Fanout(
            self.index, self._encoder, self.sums, dirty, owner_of=self.market.owner_of,
            record=self.page.histogram("receive_to_send").record,
        )  # fmt: skip
        self.orders = Orders(self._names.key_of_token)
        self.demand = self._make_demand(config, paths)
        self.desk = self._make_desk(config)
        self.house = House(self._config, self.desk, self.sums, dirty, pages=_pages(config))
        self._shown = Shown(self.page)
        self._stopping = asyncio.Event()
        self._next_show_ns = self._next_keys_ns = 0
        self._next_list_ns = monotonic_ns() + _LIST_NS
        self._tasks: set[asyncio.Task[None]] = set()

    def _introduce(self, listed: Listed) -> None:
        self._encoder.name(listed.key, listed.symbol, listed.exchange, Desk.broker)

    def _load_list(self) -> None:
        now_ns = monotonic_ns()
        self.page.beat(now_ns, now_ns + _LOAD_NS)
        self._names.load()
        self._list_written = self._names.changed(0)
        self.page.beat(monotonic_ns())

    def _make_demand(self, config: Config, paths: InstancePaths) -> Demand | None:
        if config.pool is None:
            return None

        def refused(count: int) -> None:
            self.demand_refused += count

        def tell(owner: str, without: dict[int, str]) -> None:
            if self._loop is not None:
                with suppress(RuntimeError):  # it was closed a moment ago: all clients are gone
                    self._loop.call_soon_threadsafe(self.desk.follow, owner, without)

        return Demand(
            paths, linger_ns=int(self._config.linger_s * NS_PER_S), mode_of=self.index.mode,
            refused=refused, tell=tell,
        )  # fmt: skip

    def _make_desk(self, config: Config) -> Desk:
        owners = {account.name: account.owner for account in config.accounts}
        file = self._config.keys_file
        keys = KeyStore(default_file() if file is None else Path(config.path(file)), owners)
        return Desk(
            index=self.index, names=self._names, orders=self.orders,
            demand=self.demand, streamed=_streamed(config), keys=keys,
            is_connected=self._is_connected,
            snapshot=self._snapshot if self._config.snapshot else None,
        )  # fmt: skip

    def _is_connected(self, owner: str) -> bool:
        return any(
            one.state in _STREAMING and one.owner == owner for one in self.market.connections()
        )

    # ---- the loop -----------------------------------------------------------------------------

    async def run(self) -> int:
        """Serve until SIGTERM, or until the instance has ended."""
        self._loop = loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        raise_descriptor_limit(self._config.connections_max)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._config.socket_bytes)
        gc.collect()
        gc.freeze()  # the instrument list need not be looked through again and again
        await self.house.server.listen(self._listener)
        host, port = self._listener.getsockname()[:2]
        _log.info(f"gateway: ws://{f'[{host}]' if ':' in host else host}:{port}")
        self._shown.show(self)
        self.page.set_state(State.LIVE, Reason.STARTED)
        pump = asyncio.create_task(self._pump(), name="pump")
        pump.add_done_callback(lambda _: self._stop())
        await self._look_after()
        self.page.set_state(State.DRAINING, Reason.SHUTDOWN)
        self.house.close()
        self.market.stop()
        await asyncio.wait([pump], timeout=_END_S)
        await asyncio.sleep(_END_S if self.desk.clients else 0)
        self.house.abort()
        await asyncio.sleep(0)
        self.house.end()
        self._shown.show(self)
        self.page.set_state(State.CLOSED, Reason.DRAINED)
        pump.result()
        return int(ExitCode.DONE)

    def close(self) -> None:
        """End the threads, and detach."""
        if self.demand is not None:
            self.demand.close()
        self.market.close()

    def _stop(self) -> None:
        self._stopping.set()

    async def _pump(self) -> None:
        """Hand on what comes, until the instance ends."""
        market = self.market
        try:
            while not market.stopped:
                item = market.take(orders=True)
                if item is None:
                    await market.wait_async(_WAIT_NS, -1)
                elif isinstance(item, Ticks):
                    self.fanout.hand_on(item.ticks)
                    await asyncio.sleep(0)
                elif isinstance(item, OrderUpdate):
                    self.orders.hand_on(market.owner_of(item.connection), item)
                elif isinstance(item, Overrun) and item.stage == "reader":
                    self.ticks_lost += item.lost
                elif isinstance(item, Overrun) and item.stage == "orders":
                    self.orders_lost += item.lost
                    _log.error(
                        f"{item.lost} order updates of connection {item.connection} were "
                        "overwritten before the gateway read them: its clients lack them"
                    )
        except InstanceEnded:
            _log.info("the instance has ended")

    async def _look_after(self) -> None:
        throttle_s = self._config.throttle_ms / 1000
        turn_s = min(_TURN_S, throttle_s) if throttle_s else _TURN_S
        loop = asyncio.get_running_loop()
        release_at = loop.time() + throttle_s
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(turn_s):
                    await self._stopping.wait()
            except TimeoutError:
                pass
            self._turn(monotonic_ns())
            if throttle_s and loop.time() >= release_at:
                release_at += throttle_s
                self.house.release()

    def _turn(self, now_ns: int) -> None:
        self.page.beat(now_ns)
        self.house.look(now_ns)
        if self.demand is not None:
            self.demand.settle(now_ns)
        if now_ns >= self._next_show_ns:
            self._next_show_ns = now_ns + _SHOW_NS
            self._shown.show(self)
        if now_ns >= self._next_keys_ns:
            self._next_keys_ns = now_ns + _KEYS_NS
            self._go(self.desk.end_revoked())
        if now_ns >= self._next_list_ns:
            self._next_list_ns = now_ns + _LIST_NS
            self._go(self._follow_list())

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow_list(self) -> None:
        """Read the instrument list again when there is a new one, in a thread."""
        written = self._names.changed(self._list_written)
        if written != self._list_written:
            self._list_written = written
            await asyncio.to_thread(self._names.load)

    def _snapshot(self, client: Client, accepted: Sequence[tuple[Listed, int]]) -> None:
        """Send the last known tick of each, if there is one, as its owner's connections had it."""
        principal = client.session.principal
        if principal is None or principal.owner is None:
            return
        tokens = [self._names.token(listed) for listed, _ in accepted]
        ticks = self._latest.read(principal.owner, tokens)
        for place, (listed, mode) in enumerate(accepted):
            if ticks[place]["sequence"]:
                self.sums.offered += 1
                encoded = self._encoder.frame(ticks, place, mode, listed.key)
                client.outbox.take(slot_of(listed.key, mode), encoded)
        self.fanout.flush()


def _streamed(config: Config) -> dict[str, frozenset[int]] | None:
    """Return what each owner's connections carry; None when somebody says so later."""
    if config.pool is not None or config.instance.assignment != "config":
        return None
    found: dict[str, set[int]] = {}
    for connection in plan_topology(config).connections:
        tokens = found.setdefault(connection.account.owner, set())
        tokens.update(wanted.instrument_token for wanted in connection.wanted)
    return {owner: frozenset(tokens) for owner, tokens in found.items()}


def _pages(config: Config) -> frozenset[str]:
    """Return the origins of the instance's own pages, which the HTTP API serves."""
    return frozenset() if config.api is None else own_pages(config.api.host, [config.api.port])
