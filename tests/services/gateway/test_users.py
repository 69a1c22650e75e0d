"""Fifty users with random wishes, and forged ids: nobody ever gets what is another's."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.instrument import Instrument
from tests.services.gateway.ground import OWNERS, Ground, play, symbols, tokens, whose
from tests.system.gateway_rig import Client, connect


class User:
    """A client with random wishes, and what it must have got; all of it follows from the seed."""

    def __init__(self, ground: Ground, number: int, seed: int) -> None:
        self.rng = random.Random(f"{seed} {number}")
        self.owner = OWNERS[number % 2]
        self.keys = {owner: ground.key(owner, f"{owner}{number}") for owner in OWNERS}
        self.name = f"user {number}"
        self.client: Client
        self.has: set[tuple[str, int]] = set()
        self.orders = False
        self.got: Counter[tuple[str, int]] = Counter()
        self.foreign: list[dict[str, Any]] = []

    def on_tick(self, message: dict[str, Any]) -> None:
        if whose(message) != self.owner:
            self.foreign.append(message)
        self.got[message["symbol"], message["mode"]] += 1

    def take_orders(self) -> list[dict[str, Any]]:
        """Return the order updates that have come since the last time."""
        updates = [m for m in self.client.told if m.get("type") == "order_update"]
        own = {"quantity": 1 + OWNERS.index(self.owner)}
        self.foreign += [m for m in updates if m != m | own or self.owner not in m["user_id"]]
        self.client.told = [m for m in self.client.told if m not in updates]
        return updates

    async def connect(self, url: str) -> None:
        self.client = await connect(url, self.keys[self.owner], on_tick=self.on_tick)
        self.has, self.orders = set(), False

    async def act_often(self, url: str, shares: list[Instrument]) -> None:
        for _ in range(4):
            await self.act(url, shares)

    async def act(self, url: str, shares: list[Instrument]) -> None:
        kinds = ("subscribe", "unsubscribe", "unsubscribe_all", "orders", "become", "reconnect")
        kind = self.rng.choices(kinds, (40, 25, 5, 15, 5, 5))[0]
        if kind == "orders":
            self.orders = not self.orders
            kind = "subscribe_orders" if self.orders else "unsubscribe_orders"
            await self.ask(kind)
        elif kind == "become":
            await self.become(self.rng.choice(OWNERS))
        elif kind == "reconnect":
            self.client.transport.disconnect()
            await self.client.closed.wait()
            self.take_orders()
            self.owner = self.rng.choice(OWNERS)
            await self.connect(url)
        elif kind == "unsubscribe_all":
            self.has.clear()
            await self.ask(kind)
        else:
            await self.change(kind, self.rng.sample(shares, self.rng.randint(1, 5)))

    async def change(self, kind: str, some: list[Instrument]) -> None:
        mode = self.rng.choice((1, 2, 3) if kind == "subscribe" else (1, 2, 3, None))
        modes = {mode} if mode else {1, 2, 3}
        these = {(share.tradingsymbol, each) for share in some for each in modes}
        self.has = self.has | these if kind == "subscribe" else self.has - these
        await self.ask(kind, symbols=symbols(some), **({"mode": mode} if mode else {}))

    async def become(self, owner: str) -> None:
        """Show another key on the same socket; with another owner's all that was had is gone."""
        self.client.send(action="authenticate", api_key=self.keys[owner])
        assert (await self.client.answer("auth"))["user_id"].startswith(owner)
        self.take_orders()
        if owner != self.owner:
            self.owner, self.has, self.orders = owner, set(), False

    async def ask(self, action: str, **fields: Any) -> None:
        """Ask for something, in another owner's name."""
        other = OWNERS[1 - OWNERS.index(self.owner)]
        forged = {"user_id": other, "account": f"{other}1", "owner": other, "broker": f"{other}1"}
        self.client.send(action=action, **fields, **forged)
        kind = action.removesuffix("_all")
        answer = await self.client.answer(kind)
        assert (answer["type"], answer["status"]) == (kind, "success")


async def fifty_users(ground: Ground, shares: list[Instrument], rounds: int, seed: int) -> None:
    rng, noise = random.Random(seed), random.Random(seed)
    users = [User(ground, number, seed) for number in range(50)]
    for user in users:
        await user.connect(ground.url)
    every = tokens(shares)
    for turn in range(rounds):
        acting = asyncio.gather(*(u.act_often(ground.url, shares) for u in rng.sample(users, 20)))
        while not acting.done():  # ticks and orders of both owners come all the while
            for connection in (0, 1):
                ground.send(noise.sample(every, 5), connection=connection)
                if not ground.rounds % 7:
                    ground.order(ground.rounds, connection=connection, status="OPEN")
            await asyncio.sleep(0.001)
        await acting
        await settled(ground, users)
        for user in users:
            user.take_orders()
        for connection in (0, 1):
            ground.order(turn, connection=connection)
            ground.send(every, connection=connection)
        await settled(ground, users, orders=True)
        for user in users:
            where = f"seed {seed}, round {turn}: {user.name}, {user.owner}"
            updates = [(m["orderid"], m["order_status"]) for m in user.take_orders()]
            assert updates == [(str(turn), "complete")] * user.orders, where
            assert user.got == Counter(dict.fromkeys(user.has, 1)), where
            assert user.foreign == user.client.told == [], where
            user.got.clear()


async def settled(ground: Ground, users: list[User], *, orders: bool = False) -> None:
    """Wait until the gateway has handed on all, and every client has read all; then begin anew."""
    await ground.until(
        lambda: all(
            ground.gateway.market.attachment.reader.position(n)[0]
            == ground.instance.connections[n].lane.ticks.tail
            for n in (0, 1)
        ),
        "the gateway to have read all",
    )
    if orders:
        told = [user for user in users if user.orders]
        await ground.until(
            lambda: all(
                sum(m.get("type") == "order_update" for m in user.client.told) == 1 for user in told
            ),
            "order updates",
        )
    for user in users:
        user.client.send(action="ping")
    for user in users:
        await user.client.answer("pong")
    if not orders:
        for user in users:
            user.got.clear()


def test_fifty_users_of_two_owners_never_see_anything_foreign(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    play(tmp_path, lambda ground: fifty_users(ground, shares[:8], 8, seed=1))


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 8))
def test_fifty_users_for_longer(tmp_path: Path, shares: list[Instrument], seed: int) -> None:
    play(tmp_path, lambda ground: fifty_users(ground, shares, 60, seed=seed))


def test_five_hundred_forged_ids_are_refused(tmp_path: Path, shares: list[Instrument]) -> None:
    rng = random.Random(3)

    async def story(ground: Ground) -> None:
        real = ground.key()
        client = await connect(ground.url)
        for number in range(500):
            id_, _, secret = real.partition(".")
            forged = (
                f"{rng.randbytes(6).hex()}.{secret}", f"{id_}.{rng.randbytes(32).hex()}",
                f"{id_}.{secret[:-1]}", real.upper(), f"{id_}.", secret, id_ + "%00." + secret,
            )[number % 7]  # fmt: skip
            client.send(action="authenticate", api_key=forged)
            assert (await client.answer("auth"))["code"] == "AUTHENTICATION_ERROR", forged
            client.send(action="subscribe", symbol="INFY", exchange="NSE", mode=1)
            assert (await client.answer("subscribe"))["code"] == "NOT_AUTHENTICATED"
        ground.send(tokens(shares))
        client.send(action="ping")
        await client.answer("pong")
        assert client.ticks == []
        await ground.until(lambda: ground.page["keys_refused"] == 500, "the page to show it")

    play(tmp_path, story, "messages_burst = 10000\nerrors_per_minute = 10000")
