"""Clients that do anything at all, at any time, while ticks flow: nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.instrument import Instrument
from tests.services.gateway.ground import Ground, listed, play
from tests.services.gateway.raw_client import RawClient, masked

TEXT, MORE, CLOSE, PING, PONG = 0x81, 0x80, 0x88, 0x89, 0x8A
MONKEYS = 12
#: Who is read slowly is not seen to leave before he is read again.
QUICK = "messages_per_s = 2000"


class Monkey:
    """One connection after the other; what it does is drawn, what it is told is thrown away."""

    def __init__(self, ground: Ground, shares: list[Instrument], rng: random.Random) -> None:
        self.ground = ground
        self.rng = rng
        self.names = [share.tradingsymbol for share in shares]
        self.key = ground.key(rng.choice(("alice", "bob")))

    async def live(self, acts: int) -> None:
        while acts > 0:
            client = await RawClient.connect(self.ground.gateway.port)
            reading = asyncio.create_task(self.read(client))
            if self.rng.random() < 0.7:
                self.say(client, action="authenticate", api_key=self.key)
                items = [f"NSE:{name}" for name in self.names]
                self.say(client, action="subscribe", symbols=items, mode=self.rng.randint(1, 3))
            for _ in range(lived := self.rng.randint(1, 8)):
                self.act(client)
                await asyncio.sleep(0.005)
            acts -= lived
            await self.end(client)
            reading.cancel()
            await asyncio.wait([reading])

    async def read(self, client: RawClient) -> None:
        if self.rng.random() < 0.3:
            return  # it never looks
        try:
            while await client.reader.read(65536):
                pass
        except ConnectionError:
            return

    async def end(self, client: RawClient) -> None:
        how = self.rng.randrange(4)
        if how == 0:
            client.writer.transport.abort()
        elif how == 1 and not client.writer.is_closing():
            with contextlib.suppress(OSError):  # the gateway was first
                client.writer.write_eof()
        elif how == 2:  # it says goodbye, and stays for a while
            client.send(masked(CLOSE, b"\x03\xe8"))
            await asyncio.sleep(0.1)
        await client.end()

    def say(self, client: RawClient, **message: Any) -> None:
        client.send(masked(TEXT, json.dumps(message).encode()))

    def act(self, client: RawClient) -> None:
        rng = self.rng
        item = {"symbol": rng.choice(self.names), "exchange": "NSE"}
        said = rng.choice(
            [
                {"action": "authenticate", "api_key": self.key},
                {"action": "authenticate", "api_key": self.key},
                {"action": "authenticate", "api_key": "wrong"},
                {"action": "subscribe", "symbols": [item], "mode": rng.randint(0, 4)},
                {"action": "subscribe", "symbols": self.names, "mode": 3},
                {"action": "unsubscribe", "symbols": [item]},
                {"action": "unsubscribe_all"},
                {"action": "get_subscriptions"},
                {"action": "subscribe_orders"},
                {"action": rng.choice(("", "ping", "nosuch"))},
            ]
        )
        message = json.dumps(said).encode()
        client.send(
            rng.choice(
                [
                    *[masked(TEXT, message)] * 8,
                    masked(TEXT, message) * 40,
                    masked(0x01, message[:5]) + masked(0x00, b"") * 50 + masked(MORE, message[5:]),
                    masked(0x01, b"{"),
                    masked(PING, b"") * rng.choice((1, 3000)),
                    masked(PONG, b"") * 10,
                    masked(CLOSE, b"\x0f\xa0"),
                    masked(0xC1, b"rsv"),
                    masked(TEXT, b"\xff"),
                    masked(TEXT, message)[: rng.randint(1, 20)],
                    rng.randbytes(rng.randint(1, 200)),
                ]
            )
        )


async def among_monkeys(ground: Ground, shares: list[Instrument], acts: int, seed: int) -> None:
    rng = random.Random(seed)
    client = await ground.client()
    tokens = [share.instrument_token for share in shares]
    items = [{"symbol": share.tradingsymbol, "exchange": "NSE"} for share in shares]
    client.send(action="subscribe", symbols=items, mode=1)
    assert (await client.answer("subscribe"))["status"] == "success"
    monkeys = [Monkey(ground, shares, random.Random(rng.random())) for _ in range(MONKEYS)]
    living = asyncio.gather(*(monkey.live(acts) for monkey in monkeys))
    sent = 0
    try:
        while not living.done():
            ground.send(tokens)
            ground.send(tokens, connection=1)
            ground.order(sent)
            sent += len(tokens)
            await client.until(lambda n=sent: len(client.ticks) == n, f"all ticks, seed {seed}")  # type: ignore[misc]
        await living
    finally:
        living.cancel()
    assert not ground.gateway._stopping.is_set(), f"seed {seed}"
    await ground.until(lambda: ground.page["clients"] == 1, "the others to be gone")
    sums = ground.gateway.sums
    assert sums.waiting == 0 and ground.gateway.index.subscriptions == len(tokens)


@pytest.mark.parametrize("seed", [1, 2])
def test_nobody_notices_them(tmp_path: Path, seed: int) -> None:
    shares = listed(tmp_path)[:6]
    play(tmp_path, lambda ground: among_monkeys(ground, shares, 25, seed), QUICK)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3, 9))
def test_nobody_notices_them_for_longer(tmp_path: Path, seed: int) -> None:
    shares = listed(tmp_path)[:6]
    play(tmp_path, lambda ground: among_monkeys(ground, shares, 200, seed), QUICK)
