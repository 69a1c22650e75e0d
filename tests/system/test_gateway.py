"""The gateway in a whole run: OpenAlgo's clients get the simulated exchange's ticks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.gateway_rig import GatewayRun, connect, gateway_config
from tests.system.rig import Run

Make = Callable[..., Run]


@pytest.fixture
def gateway(make_run: Make, tmp_path: Path) -> GatewayRun:
    """A run with a gateway and three connections of 100 instruments: full, quote and ltp."""
    return GatewayRun(make_run(more=gateway_config(tmp_path)).start())


def test_a_client_gets_each_mode_that_it_asked_for(gateway: GatewayRun) -> None:
    async def run() -> None:
        client = await connect(gateway.url, gateway.key())
        for mode in (3, 2, 1):
            client.send(action="subscribe", symbol="INFY", exchange="NSE", mode=mode)
            answer = await client.answer("subscribe")
            assert answer["status"] == "success", answer
        await client.until(lambda: min(client.modes[m] for m in (1, 2, 3)) >= 3, "ticks")
        tick = next(t for t in client.ticks if t["mode"] == 3)
        assert tick["symbol"] == "INFY" and len(tick["data"]["depth"]["buy"]) == 5
        client.transport.disconnect()

    asyncio.run(run())
    assert gateway.run.stop() == 0
    gateway.run.assert_nothing_left()
