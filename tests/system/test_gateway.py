"""The gateway in a whole run: OpenAlgo's clients get the simulated exchange's ticks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import pipeline
from pipeline.services.status import snapshot
from pipeline.strategy.items import Gap
from tests.system.gateway_rig import GatewayRun, connect, gateway_config, play, read_list
from tests.system.rig import Run, wait_for

Make = Callable[..., Run]


@pytest.fixture
def gateway(make_run: Make, tmp_path: Path) -> GatewayRun:
    """A run with a gateway and three connections of 100 instruments: full, quote and ltp."""
    return GatewayRun(make_run(more=gateway_config(tmp_path)).start())


def test_a_client_gets_each_mode_that_it_asked_for(gateway: GatewayRun) -> None:
    async def story() -> None:
        client = await connect(gateway.url, gateway.key())
        for mode in (3, 2, 1):
            client.send(action="subscribe", symbol="INFY", exchange="NSE", mode=mode)
            answer = await client.answer("subscribe")
            assert answer["status"] == "success", answer
        await client.until(lambda: min(client.modes[m] for m in (1, 2, 3)) >= 3, "ticks")
        tick = next(t for t in client.ticks if t["mode"] == 3)
        assert tick["symbol"] == "INFY" and len(tick["data"]["depth"]["buy"]) == 5
        process = psutil.Process(int(gateway.page.head["pid"]))
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0), "keys would be in a core dump"

    play(story)
    assert gateway.run.stop() == 0
    gateway.run.assert_nothing_left()


def test_a_killed_gateway_costs_the_data_path_nothing_and_its_clients_a_reconnect(
    gateway: GatewayRun,
) -> None:
    run, key = gateway.run, gateway.key()
    with pipeline.attach(run.paths.name, shm_directory=run.paths.root) as market:
        pids = {name: run.pid(name) for name in ("feed 0", "feed 1", "feed 2", "decoder 0")}

        async def story() -> None:
            client = await connect(gateway.url, key)
            client.send(action="subscribe", symbol="INFY", exchange="NSE", mode=1)
            await client.until(lambda: client.ticks, "a tick")
            run.kill("gateway")
            async with asyncio.timeout(30):
                await client.closed.wait()
            again = await connect(gateway.url, key)  # waits in the listening socket meanwhile
            again.send(action="subscribe", symbol="INFY", exchange="NSE", mode=1)
            await again.until(lambda: again.ticks, "a tick of the successor")
            again.transport.disconnect()

        play(story)
        for items in (list(market.take_notices()), [market.take() for _ in range(100)]):
            assert not any(isinstance(item, Gap) for item in items)
        assert pids == {name: run.pid(name) for name in pids}
        assert market.lost == 0
    wait_for(lambda: int(gateway.page.head["generation"]) == 2, "the page to say so")
    page = gateway.page.record
    parts = ("sent", "conflated", "dropped", "waiting")
    wait_for(
        lambda: page["messages_offered"] == sum(page[f"messages_{part}"] for part in parts),
        "the sums to balance over both processes",
    )
    run.assert_balanced()
    assert run.stop() == 0
    run.assert_nothing_left()


def test_a_port_that_is_taken_ends_the_start(make_run: Make, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        more = gateway_config(tmp_path).replace("port = 0", f"port = {port}")
        run = make_run(connections=1, more=more).start()
        assert run.process is not None and run.process.wait(40) == 73
    assert f"[gateway] 127.0.0.1 port {port}" in run.log.read_text()
    run.assert_nothing_left()


def test_what_the_config_does_not_list_is_refused_with_a_reason_and_a_pool_gets_it(
    make_run: Make, tmp_path: Path
) -> None:
    pool = make_run(
        connections=1, count=9000, pool="confirm_after_s = 2.0", more=gateway_config(tmp_path),
        simulator='rate = 9000.0\ninterval_s = 0.2',
    )  # fmt: skip
    gateway = GatewayRun(pool.start())

    async def story() -> None:
        client = await connect(gateway.url, gateway.key())
        names = [{"symbol": s, "exchange": "NSE"} for s in ("INFY", "RELIANCE", "NOBODY")]
        client.send(action="subscribe", symbols=names, mode=3)
        answer = await client.answer("subscribe")
        assert answer["status"] == "partial", answer
        await client.until(
            lambda: {t["symbol"] for t in client.ticks} == {"INFY", "RELIANCE"}, "ticks of both"
        )

    play(story)
    wait_for(lambda: int(gateway.page.record["demanded"]) == 2, "the page to say so")
    assert pool.stop() == 0
    pool.assert_nothing_left()


def test_what_the_pool_has_no_room_for_is_told_and_comes_when_there_is_some(
    make_run: Make, tmp_path: Path
) -> None:
    room = "connections_per_key = 1\ninstruments_per_connection = 2\nheadroom = 0.0"
    run = make_run(
        connections=1, count=9000, pool=room, more=gateway_config(tmp_path, "linger_s = 0.0"),
        simulator="rate = 9000.0\ninterval_s = 0.2",
    )  # fmt: skip
    gateway = GatewayRun(run.start())
    names = [name for name in read_list(tmp_path) if name["exchange"] == "NSE"][:3]

    async def story() -> None:
        client = await connect(gateway.url, gateway.key())
        client.send(action="subscribe_status")
        await client.answer("subscribe_status")
        client.send(action="subscribe", symbols=names, mode=3)
        assert (await client.answer("subscribe"))["status"] == "success"
        news = await client.answer("status")
        [refused] = news["subscriptions"]
        assert refused["status"] == "error" and "full" in refused["message"]
        await client.until(lambda: len({t["symbol"] for t in client.ticks}) == 2, "ticks of two")
        ticking = {t["symbol"] for t in client.ticks}
        assert refused["symbol"] not in ticking
        client.send(action="unsubscribe", symbols=[f"NSE:{ticking.pop()}"])
        await client.answer("unsubscribe")
        news = await client.answer("status")
        assert news["status"] == "success"
        assert [item["symbol"] for item in news["subscriptions"]] == [refused["symbol"]]
        await client.until(
            lambda: any(t["symbol"] == refused["symbol"] for t in client.ticks), "its ticks"
        )

    play(story)
    assert run.stop() == 0
    run.assert_nothing_left()


def test_without_a_pool_only_what_streams_can_be_had(gateway: GatewayRun) -> None:
    async def story() -> None:
        client = await connect(gateway.url, gateway.key())
        listed = read_list(gateway.run.folder)
        client.send(action="subscribe", symbols=[listed[0], listed[5000]], mode=1)
        answer = await client.answer("subscribe")
        assert [item["status"] for item in answer["subscriptions"]] == ["success", "error"]
        assert "[pool]" in answer["subscriptions"][1]["message"]

    play(story)
    wait_for(lambda: int(gateway.page.record["connects"]) == 1, "the page to show it")
    found = snapshot(gateway.run.paths).gateway
    assert found is not None and found.counters["connects"] == 1 and not found.imbalances
    assert gateway.run.stop() == 0
    gateway.run.assert_nothing_left()
