"""Who is turned away, and who is put out: by reason, and to nobody else's harm."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from pipeline.core.instrument import Instrument
from tests.services.gateway.ground import Ground, play, subscribed, symbols, tokens
from tests.services.gateway.raw_client import RawClient, masked
from tests.system.gateway_rig import Client, connect


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
        assert ground.page["refused_origin"] == ground.page["refused_host"] == 1

    play(tmp_path, story, 'origins = ["https://charts.example"]')


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
