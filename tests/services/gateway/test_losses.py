"""What reached nobody: counted, with its reason, and told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.core.instrument import Instrument
from tests.services.gateway.ground import Ground, play, subscribed, tokens


def test_orders_that_come_too_fast_are_counted_and_told(
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
        lost = sent - len(client.told)
        await ground.until(lambda: ground.page["orders_lost"] == lost, "the page to show it")
        assert f"{lost} order updates of connection 0 were overwritten" in caplog.text
        assert ground.page["orders_in"] == len(client.told)

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
