"""The whole gateway over an instance that the test writes: who gets what, and who is put out."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.core.enums import State
from pipeline.core.instrument import Instrument
from tests.services.gateway.ground import OWNERS, Ground, listed, play, whose
from tests.services.gateway.raw_client import RawClient, masked
from tests.system.gateway_rig import Client, connect


@pytest.fixture
def shares(tmp_path: Path) -> list[Instrument]:
    return listed(tmp_path)


def symbols(shares: list[Instrument]) -> list[dict[str, str]]:
    return [{"symbol": share.tradingsymbol, "exchange": "NSE"} for share in shares]


async def subscribed(client: Client, shares: list[Instrument], mode: int) -> None:
    client.send(action="subscribe", symbols=symbols(shares), mode=mode)
    answer = await client.answer("subscribe")
    assert answer["status"] == "success", answer


def tokens(shares: list[Instrument]) -> list[int]:
    return [share.instrument_token for share in shares]


def test_all_three_modes_at_once_each_at_full_rate(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        client = await ground.client()
        for mode in (3, 1, 2):
            await subscribed(client, shares[:5], mode)
        for _ in range(40):
            for _ in range(5):  # no more than fits into the client's buffers: it may be slow here
                ground.send(tokens(shares[:6]))
                await asyncio.sleep(0)
            await client.until(
                lambda: client.modes.total() == 15 * ground.rounds, "every tick in every mode"
            )
        assert client.modes == Counter({1: 1000, 2: 1000, 3: 1000})
        one = [t["data"]["ltp"] for t in client.ticks if t["mode"] == 2 and t["symbol"] == "INFY"]
        assert one == sorted(one) and len(set(one)) == 200
        assert ground.gateway.fanout.passes.unwanted == 200
        await ground.until(lambda: ground.page["messages_sent"] == 3000, "the page to show it")

    play(tmp_path, story)


def test_unsubscribed_is_silent_and_a_revoked_key_ends_its_clients(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        client = await ground.client()
        await subscribed(client, shares[:2], 1)
        client.send(action="unsubscribe", symbols=symbols(shares[:1]))
        await client.answer("unsubscribe")
        ground.send(tokens(shares[:2]))
        await client.until(lambda: client.ticks, "the other one")
        assert [t["symbol"] for t in client.ticks] == [shares[1].tradingsymbol]
        for info in ground.keys.list():
            ground.keys.revoke(info.key_id)
        ground.gateway._next_keys_ns = 0
        async with asyncio.timeout(30):
            await client.closed.wait()

    play(tmp_path, story)


def test_bad_keys_and_strangers_names_get_answers_and_no_data(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        client = await connect(ground.url)
        client.send(action="authenticate", api_key="0123456789ab." + 64 * "0")
        assert (await client.answer("auth"))["code"] == "AUTHENTICATION_ERROR"
        client.send(action="authenticate", api_key=ground.key())
        assert (await client.answer("auth"))["user_id"] == "alice"
        client.send(action="subscribe", symbol="INFI", exchange="NSE", mode=1)
        assert (await client.answer("subscribe"))["subscriptions"][0]["status"] == "error"
        await ground.until(lambda: ground.page["keys_accepted"] == 1, "the page to show it")
        assert ground.page["keys_refused"] == 1

    play(tmp_path, story)


def test_pages_of_strangers_are_refused(tmp_path: Path, shares: list[Instrument]) -> None:
    async def story(ground: Ground) -> None:
        from picows import WSHandshakeError, ws_connect

        for header in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            with pytest.raises(WSHandshakeError):
                await ws_connect(Client, ground.url, extra_headers=header)
        await ws_connect(Client, ground.url, extra_headers={"Origin": "https://charts.example"})
        await ground.until(lambda: ground.page["refused"] == 2, "the page to show it")

    play(tmp_path, story, 'origins = ["https://charts.example"]')


def test_the_last_tick_comes_after_the_answer_if_that_is_wanted(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        token = ground.instance.tokens[0]
        lane = ground.instance.connections[0].lane
        ticks = lane.make_ticks(1, [token])
        ticks["last_price"] = 7.25
        ground.instance.write_latest(0, ticks[0])
        client = await ground.client()
        await subscribed(client, [s for s in shares if s.instrument_token == token], 1)
        await client.until(lambda: client.ticks, "the last known tick")
        assert client.ticks[0]["data"]["ltp"] == 7.25
        stranger = await ground.client("bob")
        await subscribed(stranger, [s for s in shares if s.instrument_token == token], 1)
        stranger.send(action="ping")
        await stranger.answer("pong")
        assert stranger.ticks == []

    play(tmp_path, story, "snapshot = true")


def test_a_throttled_client_gets_the_last_of_each(tmp_path: Path, shares: list[Instrument]) -> None:
    async def story(ground: Ground) -> None:
        client = await ground.client()
        await subscribed(client, shares[:3], 1)
        for _ in range(500):
            ground.send(tokens(shares[:3]))
            await asyncio.sleep(0)
        last = ground.rounds + 0.25
        await client.until(
            lambda: sum(t["data"]["ltp"] == last for t in client.ticks) == 3, "the last of each"
        )
        assert len(client.ticks) < 750 and ground.gateway.sums.conflated > 500

    play(tmp_path, story, "throttle_ms = 50")


def test_order_updates_reach_their_owners_clients_once(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        clients = {owner: await ground.client(owner) for owner in OWNERS}
        for client in clients.values():
            client.send(action="subscribe_orders")
            assert (await client.answer("subscribe_orders"))["status"] == "success"
        for number in range(20):
            ground.order(number, connection=number % 2)
            ground.order(number, connection=(number + 1) % 2, status="REJECTED")
        for place, (owner, client) in enumerate(clients.items()):
            await client.until(lambda c=client: len(c.told) == 20, "its updates")  # type: ignore[misc]
            assert {m["quantity"] for m in client.told} == {place + 1}
            assert {m["user_id"] for m in client.told} == {owner}
            assert len({(m["orderid"], m["order_status"]) for m in client.told}) == 20
            client.told.clear()
        clients["alice"].send(action="unsubscribe_orders")
        await clients["alice"].answer("unsubscribe_orders")
        ground.order(99)
        ground.order(99, connection=1)
        await clients["bob"].until(lambda: len(clients["bob"].told) == 1, "its update")
        assert clients["alice"].told == []

    play(tmp_path, story)


def test_no_place_in_the_pool_is_told_to_the_owners_clients_that_ask(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        told, untold, foreign = [await ground.client(o) for o in ("alice", "alice", "bob")]
        for client in (told, untold, foreign):
            await subscribed(client, shares[:3], 1)
        for client in (told, foreign):
            client.send(action="subscribe_status")
            assert (await client.answer("subscribe_status"))["status"] == "success"
        desk, (first, second) = ground.gateway.desk, tokens(shares[:2])
        for without in (
            {first: "full", second: "full"},
            {second: "full"},
            {second: "other", 5: "x"},
        ):
            desk.follow("alice", without)
        for client in (told, untold, foreign):
            client.send(action="ping")
            await client.answer("pong")
        names = [share.tradingsymbol for share in shares]
        found = [
            [(item["symbol"], item["status"]) for item in message["subscriptions"]]
            for message in told.told
        ]
        assert found == [
            [(names[0], "error"), (names[1], "error")], [(names[0], "success")],
        ]  # fmt: skip
        assert untold.told == foreign.told == []

    play(tmp_path, story)


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


def test_who_takes_nothing_is_cut_and_who_is_slow_is_not(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        fast, slow, stalled = [await ground.client() for _ in range(3)]
        for client in (fast, slow, stalled):
            await subscribed(client, shares, 3)
        for client in (slow, stalled):
            client.transport.underlying_transport.pause_reading()
        deadline = asyncio.get_running_loop().time() + 60
        while not ground.page["cut_stalled"]:
            assert asyncio.get_running_loop().time() < deadline
            ground.send(tokens(shares))
            await asyncio.sleep(0.005)
            if not ground.rounds % 20:  # a little now and then, and always within the time
                slow.transport.underlying_transport.resume_reading()
                await asyncio.sleep(0.01)
                slow.transport.underlying_transport.pause_reading()
        for client in (slow, stalled):
            client.transport.underlying_transport.resume_reading()
        async with asyncio.timeout(30):
            await stalled.closed.wait()
        ground.send(tokens(shares))
        last = ground.rounds + 0.25
        for client in (fast, slow):
            await client.until(
                lambda c=client: sum(t["data"]["ltp"] == last for t in c.ticks) == len(shares),  # type: ignore[misc]
                "the newest of each",
            )
            assert not client.closed.is_set()
        assert ground.page["cut_stalled"] == 1 and ground.gateway.sums.conflated > 0

    play(tmp_path, story, "stalled_after_s = 1.5\nsocket_bytes = 4096\nbuffer_bytes = 16384")


@pytest.mark.parametrize(
    ("last", "code"), [(masked(0x88, b"\x0f\xa0"), 4000), (masked(0xC1, b"reserved"), 1002)]
)
def test_who_closes_and_stays_gets_nothing_more_and_harms_nobody(
    tmp_path: Path, shares: list[Instrument], last: bytes, code: int
) -> None:
    """Ticks come all the while; nothing may be sent behind a close frame."""

    async def story(ground: Ground) -> None:
        other = await ground.client()
        await subscribed(other, shares[:2], 3)
        leaving = await RawClient.connect(ground.gateway.port)
        for message in (
            {"action": "authenticate", "api_key": ground.key()},
            {"action": "subscribe", "symbols": symbols(shares[:2]), "mode": 1},
        ):
            leaving.send(masked(0x81, json.dumps(message).encode()))
        seen = [await leaving.frame() for _ in range(2)]
        while seen[-1][0] != 0x88:
            leaving.send(last)
            ground.send(tokens(shares[:2]))
            seen.append(await leaving.frame())
        assert int.from_bytes(seen[-1][1][:2], "big") == code
        rest = asyncio.create_task(leaving.reader.read())
        while not rest.done():
            ground.send(tokens(shares[:2]))
            await asyncio.sleep(0.005)
        assert rest.result() == b""
        await leaving.end()
        await other.until(lambda: len(other.ticks) == 2 * ground.rounds, "every tick")
        assert not ground.gateway._stopping.is_set()
        assert ground.gateway.sums.dropped > 0 and ground.gateway.sums.conflated == 0

    play(tmp_path, story)


def test_who_asks_is_told_of_his_own_connections(tmp_path: Path, shares: list[Instrument]) -> None:
    async def story(ground: Ground) -> None:
        states = {"alice": State.AUTH_EXPIRED, "bob": State.LIVE}
        found = [SimpleNamespace(owner=owner, state=state) for owner, state in states.items()]
        ground.gateway.market.connections = lambda: found  # type: ignore[assignment,method-assign]
        for owner, said in (("alice", "disconnected"), ("bob", "connected")):
            client = await ground.client(owner)
            client.send(action="get_broker_info")
            assert (await client.answer("broker_info"))["adapter_status"] == said

    play(tmp_path, story)


def test_orders_that_come_too_fast_are_missed_in_the_log(
    tmp_path: Path, shares: list[Instrument], caplog: pytest.LogCaptureFixture
) -> None:
    async def story(ground: Ground) -> None:
        client = await ground.client()
        client.send(action="subscribe_orders")
        await client.answer("subscribe_orders")
        sent = 3000  # three times what the ring holds, in one turn of the loop
        for number in range(sent):
            ground.order(number)
        await client.until(
            lambda: client.told and client.told[-1].get("orderid") == str(sent - 1), "the last"
        )
        assert 0 < len(client.told) < sent
        assert f"{sent - len(client.told)} order updates came and went" in caplog.text

    play(tmp_path, story)


def test_what_waits_on_the_page_is_what_waits(tmp_path: Path, shares: list[Instrument]) -> None:
    """So that the page's sum is a check, and not what it was made of."""

    async def story(ground: Ground) -> None:
        client = await ground.client()
        await subscribed(client, shares[:3], 2)
        for _ in range(5):
            ground.send(tokens(shares[:3]))
            await asyncio.sleep(0.02)
        page = ground.page
        await ground.until(lambda: page["messages_offered"] == 15, "the page to show it")
        assert (page["messages_waiting"], page["messages_conflated"]) == (3, 12)
        ground.gateway.sums.offered += 1  # a message that nobody ever had
        await ground.until(lambda: page["messages_offered"] == 16, "the page to show it")
        with pytest.raises(AssertionError):
            ground.assert_balanced()
        ground.gateway.sums.offered -= 1

    play(tmp_path, story, "throttle_ms = 60000")


def test_what_a_gateway_comes_too_late_for_is_counted(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        client = await ground.client()
        await subscribed(client, shares[:10], 1)
        capacity = ground.instance.connections[0].lane.ticks.capacity
        for _ in range(capacity // 10 * 3):  # in one turn of the loop: nobody reads meanwhile
            ground.send(tokens(shares[:10]))
        published = 10 * ground.rounds
        last = ground.rounds + 0.25
        await client.until(lambda: client.ticks and client.ticks[-1]["data"]["ltp"] == last, "all")
        page = ground.page
        await ground.until(lambda: page["ticks_in"] + page["ticks_lost"] == published, "the page")
        assert page["ticks_lost"] > published // 3
        assert len(client.ticks) + page["messages_conflated"] == page["ticks_in"]

    play(tmp_path, story)


def test_who_answers_no_ping_is_cut(tmp_path: Path, shares: list[Instrument]) -> None:
    async def story(ground: Ground) -> None:
        from picows import ws_connect

        _, mute = await ws_connect(Client, ground.url, enable_auto_pong=False)
        mute.send(action="authenticate", api_key=ground.key())
        await mute.answer("auth")
        lively = await ground.client()
        mute.on_ws_frame = lambda *_: None  # type: ignore[method-assign]
        async with asyncio.timeout(30):
            await mute.closed.wait()
        assert not lively.closed.is_set()
        await ground.until(lambda: ground.page["cut_silent"] == 1, "the page to show it")

    play(tmp_path, story, "ping_after_s = 0.2\nsilent_after_s = 1.5")
