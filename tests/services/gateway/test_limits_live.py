"""The limits on real sockets: a flood, strangers behind a proxy, keys too late and too often."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.gateway.ground import Ground, listed, serving
from tests.services.gateway.raw_client import HANDSHAKE, RawClient, masked

TEXT = 0x81
PROXY = 'trusted_proxies = ["127.0.0.1"]\n'


def play(folder: Path, story: Callable[[Ground], Awaitable[None]], more: str = "") -> None:
    """Run a story against a gateway, within its deadline."""
    listed(folder)

    async def run() -> None:
        async with asyncio.timeout(60), serving(folder, more) as ground:
            await story(ground)

    asyncio.run(run())


def say(client: RawClient, **message: Any) -> None:
    client.send(masked(TEXT, json.dumps(message).encode()))


async def answer(client: RawClient) -> Any:
    first, payload = await client.frame()
    assert first == TEXT, (first, payload)
    return json.loads(payload)


async def refusal(port: int, more: str) -> str:
    """Return the head of the answer to a handshake that is refused."""
    client = await RawClient.connect(port, upgrade=False)
    client.send(HANDSHAKE.format(path="", host=f"127.0.0.1:{port}", more=more).encode())
    head = await client.head()
    await client.end()
    return head


def test_a_flood_is_answered_to_its_last_message_and_harms_nobody(tmp_path: Path) -> None:
    async def story(ground: Ground) -> None:
        flooding, calm = [await RawClient.connect(ground.gateway.port) for _ in range(2)]
        key = ground.key()
        for client in (flooding, calm):
            say(client, action="authenticate", api_key=key)
            assert (await answer(client))["status"] == "success"
        ping = [masked(TEXT, b'{"action":"ping","timestamp":%d}' % i) for i in range(3000)]
        flooding.send(b"".join(ping))
        say(calm, action="ping", timestamp=-1)
        assert (await answer(calm))["client_timestamp"] == -1
        for i in range(3000):
            assert (await answer(flooding))["client_timestamp"] == i
        for client in (flooding, calm):
            await client.end()

    play(tmp_path, story, "messages_per_s = 1000\nmessages_burst = 100")


def test_what_comes_before_a_key_is_little(tmp_path: Path) -> None:
    async def story(ground: Ground) -> None:
        port, key = ground.gateway.port, ground.key()
        big = await RawClient.connect(port)
        big.send(masked(TEXT, b'{"action":"ping"}'.ljust(4096)))
        assert (await answer(big))["type"] == "pong"
        big.send(masked(TEXT, b'{"action":"ping"}'.ljust(4097)))
        assert await big.close_code() == 1009
        many = await RawClient.connect(port)
        many.send(*[masked(TEXT, json.dumps({"action": "auth", "apikey": key}).encode())])
        many.send(b"".join(masked(TEXT, b'{"action":"ping","_pingId":%d}' % i) for i in range(64)))
        assert (await answer(many))["type"] == "auth"
        assert [(await answer(many))["_pingId"] for _ in range(64)] == list(range(64))
        many.send(masked(TEXT, b'{"action":"ping"}'.ljust(1 << 20)))
        assert (await answer(many))["type"] == "pong"
        for client in (big, many):
            await client.end()

    play(tmp_path, story)


def test_who_shows_no_key_is_ended(tmp_path: Path) -> None:
    async def story(ground: Ground) -> None:
        silent = await RawClient.connect(ground.gateway.port)
        assert await silent.close_code() == 4401
        await silent.end()
        page = ground.page
        await ground.until(lambda: page["cut_unauthenticated"] == 1, "the page to show it")

    play(tmp_path, story, "authenticate_within_s = 0.3")


def test_an_address_behind_a_trusted_proxy_is_counted_and_banned(tmp_path: Path) -> None:
    async def story(ground: Ground) -> None:
        port = ground.gateway.port
        stranger, other = (f"X-Forwarded-For: 203.0.113.{i}\r\n" for i in (7, 8))
        clients = [await RawClient.connect(port, more=stranger) for _ in range(3)]
        assert "429" in (await refusal(port, stranger)).splitlines()[0]
        for _ in range(2):
            say(clients[0], action="authenticate", api_key="wrong")
            assert (await answer(clients[0]))["message"] == "Invalid API key"
        say(clients[0], action="authenticate", api_key="wrong")
        assert (await answer(clients[0]))["code"] == "AUTHENTICATION_ERROR"
        assert await clients[0].close_code() == 1008
        say(clients[1], action="authenticate", api_key=ground.key())
        assert (await answer(clients[1]))["message"] == "Invalid API key"
        assert await clients[1].close_code() == 1008
        head = await refusal(port, stranger)
        assert "429" in head.splitlines()[0] and "Retry-After: " in head
        neighbour = await RawClient.connect(port, more=other)
        say(neighbour, action="authenticate", api_key=ground.key())
        assert (await answer(neighbour))["status"] == "success"
        page = ground.page
        await ground.until(lambda: page["cut_wrong_keys"] == 2, "the page to show it")
        assert (page["refused_address"], page["refused_banned"], page["bans"]) == (1, 1, 1)
        for client in (*clients, neighbour):
            await client.end()

    limits = "unauthenticated_per_address = 3\nkey_failures_delay = 3\nkey_failures_ban = 3"
    play(tmp_path, story, f"{PROXY}{limits}")


def test_a_proxy_may_name_the_address_in_a_header_of_its_own(tmp_path: Path) -> None:
    """What stands in the header before it is the client's claim, and hides him from nobody."""

    async def story(ground: Ground) -> None:
        port = ground.gateway.port
        more = "X-Forwarded-For: 198.51.100.{}\r\nX-Forwarded-For: 203.0.113.7\r\n"
        clients = [await RawClient.connect(port, more=more.format(i)) for i in range(2)]
        assert "429" in (await refusal(port, more.format(2))).splitlines()[0]
        clients.append(await RawClient.connect(port, more="X-Forwarded-For: 198.51.100.1\r\n"))
        for client in clients:
            await client.end()

    play(tmp_path, story, f"{PROXY}unauthenticated_per_address = 2")


def test_no_more_than_may_be_and_again_when_one_has_left(tmp_path: Path) -> None:
    async def story(ground: Ground) -> None:
        port = ground.gateway.port
        clients = [await RawClient.connect(port) for _ in range(5)]
        assert "503" in (await refusal(port, "")).splitlines()[0]
        await clients.pop().end()
        await ground.until(lambda: ground.page["disconnects"] == 1, "the place to be free")
        clients.append(await RawClient.connect(port))
        for client in clients:
            await client.end()

    play(tmp_path, story, "connections_max = 5")


def test_a_key_is_nowhere_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A canary through a whole gateway: good and wrong keys, a client cut by its key's end."""
    keys = []

    async def story(ground: Ground) -> None:
        asyncio.get_running_loop().set_debug(True)  # debug shows what tasks and handles are
        keys.append(ground.key())
        client = await RawClient.connect(ground.gateway.port)
        wrong = f"{keys[0][:12]}.cAnArY0of0today"
        say(client, action="authenticate", api_key=wrong)
        assert (await answer(client))["status"] == "error"
        say(client, action="authenticate", api_key=keys[0])
        assert (await answer(client))["status"] == "success"
        ground.keys.revoke(keys[0].partition(".")[0])
        ground.gateway._next_keys_ns = 0
        assert (await answer(client))["code"] == "AUTHENTICATION_ERROR"
        assert await client.close_code() == 4401
        await client.end()

    caplog.set_level("DEBUG")
    play(tmp_path, story)
    assert "cAnArY" not in caplog.text and keys[0].partition(".")[2] not in caplog.text
