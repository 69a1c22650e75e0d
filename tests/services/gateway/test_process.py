"""The whole gateway over an instance that the test writes: who gets what."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.core.enums import Mode, State
from pipeline.core.instrument import Instrument
from pipeline.services.gateway.steps import PART
from pipeline.shm.tables import assignment_rows
from tests.services.gateway.ground import OWNERS, Ground, play, subscribed, symbols, tokens


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


@pytest.mark.parametrize("newer", [0, 1])
def test_each_owner_of_an_instrument_gets_his_own_last_tick(
    tmp_path: Path, shares: list[Instrument], newer: int
) -> None:
    """Whoever's connection was given it last."""

    async def story(ground: Ground) -> None:
        token, slots = ground.instance.tokens[0], len(ground.instance.tokens)
        for number, connection in enumerate(ground.instance.connections):
            rows = assignment_rows(np.array([token]), np.array([Mode.QUOTE]), number * slots)
            rows["owner_epoch"] = 2 if number == newer else 1
            connection.assignment.write(rows)
            ticks = connection.lane.make_ticks(1, [token])
            ticks["last_price"] = 7 + (0.25, 0.75)[number]
            ground.instance.write_latest(number * slots, ticks[0])
        share = [share for share in shares if share.instrument_token == token]
        for owner, price in zip(OWNERS, (7.25, 7.75), strict=True):
            client = await ground.client(owner)
            await subscribed(client, share, 1)
            await client.until(lambda c=client: c.ticks, "the last known tick")  # type: ignore[misc]
            assert [tick["data"]["ltp"] for tick in client.ticks] == [price]

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


def test_others_are_served_between_the_parts_of_what_is_long(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    """The test says when the next part may be done, and asks for something else before each."""

    async def story(ground: Ground) -> None:
        house, parts = ground.gateway.house, []
        do_a_part = house._do_a_part
        other, long = await ground.client("bob"), await ground.client()
        await subscribed(other, shares[:1], 1)
        (session,) = (s for s in ground.gateway.desk.clients if s.principal.name == "alice")  # type: ignore[union-attr]
        house._do_a_part = lambda: parts.append(do_a_part)  # type: ignore[method-assign]
        names = [{"symbol": f"NO{i}", "exchange": "NSE"} for i in range(4 * PART)]
        for action, had in (("subscribe", 0), ("unsubscribe", len(shares))):
            long.send(action=action, symbols=[*names, *symbols(shares)], mode=2)
            await ground.until(lambda: parts, "the first part")
            assert session.instruments == had
            done = 0
            while session.has_more:
                await ground.until(lambda: parts, "the next part")
                ticks = len(other.ticks)
                ground.send(tokens(shares[:1]), connection=1)
                other.send(action="ping")
                await other.answer("pong")
                await other.until(lambda: len(other.ticks) > ticks, "a tick")  # noqa: B023
                parts.pop()()
                done += 1
            assert done >= len(names) // PART
            answer = await long.answer(action)
            assert answer["type"] == action
        house._do_a_part = do_a_part  # type: ignore[method-assign]
        assert session.instruments == 0

    play(tmp_path, story)


def test_who_leaves_with_much_is_counted_out_when_it_is_given_up(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        catalogue = ground.gateway._names._catalogue
        assert catalogue is not None
        keys = [catalogue.openalgo_key(i) for i in list(catalogue)[: 3 * PART]]
        client = await ground.client()
        client.send(action="subscribe", symbols=[key for key in keys if key], mode=1)
        assert (await client.answer("subscribe"))["status"] == "success"
        page = ground.page
        await ground.until(lambda: page["subscriptions"] > 2 * PART, "the page to show it")
        client.transport.disconnect()
        await ground.until(lambda: not (page["clients"] or page["subscriptions"]), "the end")
        assert page["connects"] == page["disconnects"]

    play(tmp_path, story)


def test_what_the_pool_says_after_the_end_is_nobodys_and_ends_no_thread(
    tmp_path: Path, shares: list[Instrument]
) -> None:
    async def story(ground: Ground) -> None:
        closed = asyncio.new_event_loop()
        closed.close()
        # It closes between a look at it and the call.
        ending = SimpleNamespace(
            is_closed=lambda: False, call_soon_threadsafe=closed.call_soon_threadsafe
        )
        demand, loop = ground.gateway.demand, ground.gateway._loop
        assert demand is not None
        ground.gateway._loop = ending  # type: ignore[assignment]
        demand._tell("alice", {408065: "full"})
        ground.gateway._loop = loop

    play(tmp_path, story)
