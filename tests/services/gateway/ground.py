"""A gateway in this process's event loop, over an instance that the test writes itself."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.core.clock import monotonic_ns
from pipeline.core.config import Config, parse
from pipeline.core.instrument import Instrument
from pipeline.instruments.store import today_in_india, write_store
from pipeline.instruments.synthetic import synthetic_instruments
from pipeline.services.gateway.process import Gateway
from pipeline.services.keys import KeyStore
from pipeline.shm import specs
from tests.services.control.world import LIMITS
from tests.strategy.fake_control import FakeControl
from tests.strategy.writer import FakeInstance
from tests.system.gateway_rig import Client, connect, leave

OWNERS: Final = ("alice", "bob")
ROWS: Final = 2000
CONFIG: Final = """
[instance]
name = "{name}"
[[account]]
name = "alice1"
owner = "alice"
api_key = "demo"
url = "simulator"
[[account]]
name = "bob1"
owner = "bob"
api_key = "demo2"
url = "simulator"
[simulator]
[pool]
[decoder]
count = 2
[instruments]
file = "{folder}/list.sqlite"
[gateway]
keys_file = "{folder}/keys.sqlite"
{more}
"""


def listed(folder: Path) -> list[Instrument]:
    """Write an instrument list; return its first shares."""
    instruments = list(synthetic_instruments(today_in_india(), rows=ROWS))
    write_store(instruments, file=folder / "list.sqlite", source="simulated")
    shares = (i for i in instruments if i.segment == "NSE" and i.tradingsymbol.isalnum())
    return list(islice(shares, 40))


class Ground:
    """The gateway, its instance and its keys. Connection 0 is alice's, connection 1 bob's.

    A tick's price says whose it is: alice's end in .25, bob's in .75.
    """

    def __init__(self, folder: Path, config: Config, instance: FakeInstance) -> None:
        self.instance = instance
        instance.make(specs.gateway_status(), 0)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.keys = KeyStore(folder / "keys.sqlite")
        self.gateway = Gateway(config, instance.paths, self.listener)
        self.page = self.gateway.page.record
        self.rounds = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway.port}"

    def key(self, owner: str = "alice", name: str | None = None) -> str:
        return self.keys.add(name or owner, f"{owner}1")

    async def client(self, owner: str = "alice", **options: Any) -> Client:
        return await connect(self.url, self.key(owner), **options)

    def send(self, tokens: list[int], *, connection: int = 0, mode: int = 3) -> None:
        """Publish a tick of each and ring."""
        self.rounds += 1
        lane = self.instance.connections[connection].lane
        for start in range(0, len(tokens), 256):
            part = tokens[start : start + 256]
            ticks = lane.make_ticks(len(part), part)
            ticks["mode"] = mode
            ticks["last_price"] = self.rounds + (0.25, 0.75)[connection]
            ticks["volume_traded"], ticks["oi"] = self.rounds, 0
            ticks["receive_mono_ns"] = monotonic_ns()
            lane.ticks.write(ticks)
            lane.ticks.publish(len(part))
        self.instance.bell.ring()

    def order(self, number: int, *, connection: int = 0, status: str = "COMPLETE") -> None:
        """Publish an order update and ring."""
        data = {"order_id": str(number), "status": status, "quantity": connection + 1}
        raw = json.dumps({"type": "order", "data": data}).encode()
        self.instance.connections[connection].orders.append(
            raw, connection_epoch=1, receive_ts_ns=1, receive_mono_ns=1
        )
        self.instance.bell.ring()

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        async with asyncio.timeout(seconds):
            while not (result := condition()):
                await asyncio.sleep(0.005)
        return result

    def assert_balanced(self) -> None:
        """Every stage of the page accounts for all that came into it."""
        page = self.page
        assert page["ticks_in"] == page["ticks_wanted"] + page["ticks_unwanted"]
        parts = ("sent", "conflated", "dropped", "waiting")
        assert page["messages_offered"] == sum(page[f"messages_{part}"] for part in parts)
        assert page["connects"] == page["disconnects"] + page["clients"]
        reasons = [name for name in page.dtype.names or () if name.startswith("refused_")]
        assert page["refused"] == sum(page[name] for name in reasons)


def config_of(folder: Path, name: str, more: str = "") -> Config:
    return parse(CONFIG.format(name=name, folder=folder, more=more), limits=LIMITS)


@asynccontextmanager
async def serving(folder: Path, more: str = "", **options: Any) -> AsyncIterator[Ground]:
    """Serve until the block ends; then the page must balance and no client be left."""
    instance = FakeInstance("gateway", folder, connections=2, owners=OWNERS, **options)
    ground = None
    with FakeControl(instance.paths.control_socket):
        try:
            ground = Ground(folder, config_of(folder, "gateway", more), instance)
            running = asyncio.create_task(ground.gateway.run())
            await ground.until(lambda: ground.page["port"], "the gateway to serve")
            try:
                yield ground
            finally:
                await leave()
            ground.gateway._stop()
            assert await running == 0
            assert ground.page["clients"] == 0
            ground.assert_balanced()
        finally:
            if ground is not None:
                ground.gateway.close()
                ground.listener.close()
            instance.end()


def play(folder: Path, story: Callable[[Ground], Awaitable[None]], more: str = "") -> None:
    """Run a story against a gateway, within its deadline."""

    async def run() -> None:
        async with asyncio.timeout(120), serving(folder, more) as ground:
            await story(ground)

    asyncio.run(run())


def whose(message: dict[str, Any]) -> str:
    """Return the owner whose connection brought a tick."""
    price = np.float64(message["data"]["ltp"])
    return {0.25: "alice", 0.75: "bob"}[float(price % 1)]


def symbols(shares: list[Instrument]) -> list[dict[str, str]]:
    """Return them as a client names them."""
    return [{"symbol": share.tradingsymbol, "exchange": "NSE"} for share in shares]


def tokens(shares: list[Instrument]) -> list[int]:
    """Return their instrument tokens."""
    return [share.instrument_token for share in shares]


async def subscribed(client: Client, shares: list[Instrument], mode: int) -> None:
    """Have a client subscribe to all of them."""
    client.send(action="subscribe", symbols=symbols(shares), mode=mode)
    answer = await client.answer("subscribe")
    assert answer["status"] == "success", answer
