"""Fifty users of two owners at random, over a pool; the exchange's own log says whose a tick is.

Both owners have the same instruments, so the same states of them: while the exchange is quiet
towards one owner's keys, what it sends is the other's alone, and nobody else may ever be told it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from pipeline.instruments.catalogue import load
from tests.system.gateway_rig import Client, GatewayRun, connect, gateway_config, play
from tests.system.judge import truth_of
from tests.system.rig import Run
from tests.system.test_owners import (
    ALICE,
    KEYS,
    OTHERS,
    OWNERS,
    POOL,
    TWO_DECODERS,
    ask_exchange,
    owned,
)  # fmt: skip

ACCOUNTS = {"alice": "exchange", "bob": "bobs"}
USERS = 50
TURNS = 8
TURN_S = 1.0
#: So many ticks at least show that a foreign one would have been seen.
TELLING_MIN = 100

State = tuple[int, int]


class User:
    """A client of one owner with random wishes; keeps (token, state) of each tick."""

    def __init__(self, number: int, tokens: dict[str, int], seed: int) -> None:
        self.owner = OWNERS[number % 2]
        self.has_orders = number % 4 < 2
        self.seen: list[State] = []
        self.client: Client
        self._rng = random.Random(f"{seed} {number}")
        self._tokens = tokens

    async def connect(self, url: str, key: str) -> None:
        self.client = await connect(url, key, on_tick=self._on_tick)
        if self.has_orders:
            self.client.send(action="subscribe_orders")
            assert (await self.client.answer("subscribe_orders"))["status"] == "success"

    def _on_tick(self, message: dict[str, Any]) -> None:
        self.seen.append((self._tokens[message["symbol"]], message["data"]["volume"]))

    async def act(self) -> None:
        kind = self._rng.choice(("subscribe", "subscribe", "unsubscribe"))
        names = self._rng.sample(sorted(self._tokens), self._rng.randint(1, 6))
        symbols = [{"symbol": name, "exchange": "NSE"} for name in names]
        self.client.send(action=kind, symbols=symbols, mode=self._rng.choice((2, 3)))
        assert (await self.client.answer(kind))["status"] == "success"

    @property
    def orders(self) -> list[str]:
        told = self.client.told
        return sorted(m["orderid"] for m in told if m.get("type") == "order_update")


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_each_user_gets_was_sent_to_his_owner(
    make_run: Callable[..., Run], tmp_path: Path, seed: int
) -> None:
    more = OTHERS + TWO_DECODERS + gateway_config(tmp_path, "linger_s = 0.5")
    simulator = "rate = 3000.0\ninterval_s = 0.1"
    run = make_run(pool=POOL, account=ALICE, more=more, simulator=simulator, count=3000).start()
    gateway = GatewayRun(run)
    shares = (i for i in load(tmp_path / "list.sqlite") if i.segment == "NSE")
    plain = (i for i in shares if i.tradingsymbol.isalnum())
    tokens = {i.tradingsymbol: i.instrument_token for i in islice(plain, 40)}
    users = [User(number, tokens, seed) for number in range(USERS)]
    whose: dict[int, str] = {}
    orders: dict[str, list[str]] = {owner: [] for owner in OWNERS}
    numbers = count(1)

    def look_and_disturb(turn: int) -> None:
        for owner, found in owned(run).items():
            whose.update(dict.fromkeys(found, owner))
        for key in KEYS[OWNERS[turn % 2]]:
            ask_exchange(run, "quiet", key=key, seconds=TURN_S)
        for owner in OWNERS:
            for key in KEYS[owner]:
                number = f"{next(numbers)}"
                told = ask_exchange(run, "order", key=key, data={"order_id": number})
                if told["connections"]:
                    orders[owner].append(number)

    async def story() -> None:
        for number, user in enumerate(users):
            key = gateway.key(f"user{number}", ACCOUNTS[user.owner])
            await user.connect(gateway.url, key)
        for turn in range(TURNS):
            end = asyncio.get_running_loop().time() + TURN_S
            await asyncio.to_thread(look_and_disturb, turn)
            while asyncio.get_running_loop().time() < end:
                await asyncio.gather(*(user.act() for user in users))
                await asyncio.sleep(0.1)
        await asyncio.to_thread(look_and_disturb, TURNS)
        for user in users:
            expected = sorted(orders[user.owner]) if user.has_orders else []
            await user.client.until(lambda u=user, e=expected: u.orders == e, "its orders")  # type: ignore[misc]

    play(story)
    assert run.stop() == 0
    run.assert_nothing_left()
    assert all(orders.values())
    truth = truth_of(run)
    sent: dict[str, set[State]] = {owner: set() for owner in OWNERS}
    for row in truth[["connection", "instrument_token", "sequence"]].tolist():
        sent[whose[row[0]]].add((row[1], row[2]))
    for user in users:
        assert set(user.seen) <= sent[user.owner], f"seed {seed}: a foreign tick for {user.owner}"
    for owner in OWNERS:
        alone = sent[owner] - sent[OWNERS[1 - OWNERS.index(owner)]]
        telling = sum(state in alone for u in users if u.owner == owner for state in u.seen)
        assert telling >= TELLING_MIN, f"seed {seed}: {owner} has nothing to tell him by"
