"""Strategies as clients of a pool: what three of them want at random is what is on the wire."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.cli import main
from pipeline.core.control import MODES, Ask
from pipeline.core.enums import Mode, SegmentKind
from pipeline.core.instruments import simulated_tokens
from pipeline.instruments import write_store
from pipeline.instruments.synthetic import synthetic_instruments
from pipeline.kite import KiteTicker
from pipeline.shm.tables import WireTable
from pipeline.sim.truth import read_truth
from pipeline.sim.verify import verify
from pipeline.strategy.items import TickArray
from pipeline.strategy.market import Market
from tests.system.judge import Witness
from tests.system.rig import DEADLINE_S, Run, wait_for
from tests.system.test_pool import end

Make = Callable[..., Run]

CLIENTS = 3
TOKENS = simulated_tokens(0, 260)
KEPT = simulated_tokens(260, 20)
POOL = "instruments_per_connection = 100\nheadroom = 0.0\nlinger_s = 60"
OPERATIONS = 100
DAY = date(2026, 3, 2)
ROWS_MIN = 2000


class Client:
    """A market, and what it should want."""

    def __init__(self, market: Market) -> None:
        self.market = market
        market.demand().timeout_s = DEADLINE_S  # where everything takes longer
        self.wants: dict[int, str] = {}

    def subscribe(self, tokens: Sequence[int], mode: str) -> None:
        assert self.market.subscribe(tokens, mode=mode).accepted == len(tokens)
        self.wants |= dict.fromkeys(tokens, mode)

    def operate(self, dice: random.Random) -> None:
        """Subscribe, unsubscribe or change modes of some instruments."""
        tokens = dice.sample(TOKENS, dice.randint(1, 60))
        mode = dice.choice(list(MODES))
        action = dice.choice(("subscribe", "subscribe", "unsubscribe", "set_mode"))
        if action == "subscribe":
            self.subscribe(tokens, mode)
        elif action == "unsubscribe":
            before = len(self.wants)
            removed = self.market.unsubscribe(tokens)
            self.wants = {t: m for t, m in self.wants.items() if t not in tokens}
            assert removed == before - len(self.wants)
        else:
            self.market.set_mode(mode, tokens)
            self.wants |= {token: mode for token in tokens if token in self.wants}
        assert self.market.wants() == self.wants


@contextmanager
def clients_of(run: Run) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        yield [
            Client(
                stack.enter_context(
                    pipeline.attach(run.paths.name, name=f"s{n}", shm_directory=run.paths.root)
                )
            )
            for n in range(CLIENTS)
        ]


def wished(clients: list[Client]) -> dict[int, int]:
    """Return what is wanted together: each instrument in the highest mode."""
    wish: dict[int, int] = {}
    for client in clients:
        for token, mode in client.wants.items():
            wish[token] = max(int(MODES[mode]), wish.get(token, 0))
    return wish


def wire_is(run: Run, wish: dict[int, int]) -> bool:
    """Whether all wires together have exactly this, each instrument once."""
    rows = [WireTable(run.attach(SegmentKind.WIRE, number)).read()[1] for number in run.numbers]
    pairs = [(int(r["instrument_token"]), int(r["mode"])) for found in rows for r in found]
    return sorted(pairs) == sorted(wish.items())


def wait_for_wire(run: Run, wish: dict[int, int]) -> None:
    """Wait until that is on the wire, and every connection is complete."""
    wait_for(lambda: wire_is(run, wish), "the wire to equal the wish")
    for number in run.numbers:
        wait_for(lambda n=number: run.is_complete(n), "a connection to be complete")  # type: ignore[misc]


def tokens_on_wire(run: Run) -> set[int]:
    tables = [WireTable(run.attach(SegmentKind.WIRE, number)) for number in run.numbers]
    return {token for table in tables for token in table.read()[1]["instrument_token"].tolist()}


def handshakes(run: Run) -> list[int]:
    return [int(run.page(number)["handshakes"]) for number in run.numbers]


def test_the_wire_equals_the_wish_of_three_clients(make_run: Make, seed: int) -> None:
    run = make_run(pool=POOL).start_and_wait()
    witness = Witness(run)
    dice = random.Random(seed)
    with clients_of(run) as clients:
        clients[0].subscribe(KEPT, "full")
        for _ in range(OPERATIONS):
            dice.choice(clients).operate(dice)
        wish = wished(clients)
        wait_for_wire(run, wish)
        assert handshakes(run) == [1] * len(run.numbers)
        reader = clients[0]
        batch = next(reader.market.batches(timeout_s=30))
        assert set(reader.market.mine(batch)["instrument_token"].tolist()) <= set(reader.wants)
        tokens = list(wish)
        wait_for(
            lambda: np.all(reader.market.latest(tokens)["sequence"] > 0), "all in the latest table"
        )
        end(run, witness)
    # Of what is given up packets are still on their way; of what is kept nothing may be missing.
    truth, rows = np.array(read_truth(run.folder / "truth.bin")), witness.rows()
    verdict = verify(
        truth[np.isin(truth["instrument_token"], KEPT)],
        rows[np.isin(rows["instrument_token"], KEPT)],
        witness.announced(),
    )
    assert verdict.passed and verdict.sent > 0 and (verdict.lost, verdict.gaps) == (0, 0), verdict
    run.assert_nothing_left()


def test_what_is_wanted_outlives_the_control_process(make_run: Make, seed: int) -> None:
    run = make_run(pool=POOL).start_and_wait()
    dice = random.Random(seed)
    with clients_of(run) as clients:
        for _ in range(20):
            dice.choice(clients).operate(dice)
        for client in clients:
            client.operate(dice)
        wait_for_wire(run, wished(clients))
        for _ in range(3):
            pid = run.kill("control 0")
            clients[0].operate(dice)  # waits for the successor
            assert run.pid("control 0") not in (0, pid)
        wanted = {f"s{n}": len(client.wants) for n, client in enumerate(clients)}

        def declared() -> bool:
            found = clients[0].market.demand().request(Ask(about="clients"))
            counts = {c["name"].partition(".")[0]: c["instruments"] for c in found}
            return {name: counts.get(name) for name in wanted} == wanted

        wait_for(declared, "every client to have declared again")
        # What nobody wants any more stays for a while: others might not have declared yet.
        wish = wished(clients)
        wait_for(lambda: wish.keys() <= tokens_on_wire(run), "the wish to be on the wire")
        assert handshakes(run) == [1] * len(run.numbers)
        assert run.stop() == 0
    run.assert_nothing_left()


def test_more_than_there_is_room_for_is_refused_whole(make_run: Make) -> None:
    run = make_run(pool=f"{POOL}\nconnections_per_key = 2").start_and_wait()
    with clients_of(run) as clients:
        market = clients[0].market
        with pytest.raises(pipeline.CapacityError) as full:
            market.subscribe(TOKENS)
        assert (full.value.requested, full.value.available) == (260, 200)
        assert market.wants() == {}
        result = market.subscribe(TOKENS, partial=True)
        assert (result.accepted, len(result.refused)) == (200, 60)
        wait_for_wire(run, {token: int(Mode.QUOTE) for token in market.wants()})
        assert len(market.wants()) == 200
        assert run.stop() == 0
    run.assert_nothing_left()


def test_a_name_and_its_token_mean_the_same(make_run: Make, tmp_path: Path) -> None:
    file = tmp_path / "instruments.sqlite"
    write_store(synthetic_instruments(DAY, rows=ROWS_MIN), file=file, source="made up", day=DAY)
    run = make_run(pool=POOL, more=f'[instruments]\nfile = "{file}"\n').start_and_wait()
    with clients_of(run) as clients:
        market = clients[0].market
        with pytest.raises(pipeline.UnknownInstruments) as unknown:
            market.subscribe("NSE:INFI")
        assert "NSE:INFY" in unknown.value.unknown["NSE:INFI"]
        assert market.subscribe(["NSE:INFY", 256265], mode="full").accepted == 2
        assert market.unsubscribe(408065) == 1
        assert market.wants() == {256265: "full"}
        market.subscribe("NSE:INFY", mode="ltp")
        wish = {256265: int(Mode.FULL), 408065: int(Mode.LTP)}
        wait_for_wire(run, wish)
        assert market.latest(["NSE:INFY", 256265])["instrument_token"].tolist() == [408065, 256265]
        run.kill("control 0")
        assert market.set_mode("quote", 408065).accepted == 1
        wait_for_wire(run, {**wish, 408065: int(Mode.QUOTE)})
        assert run.stop() == 0
    run.assert_nothing_left()


def test_what_is_wanted_by_hand_outlives_the_control_process(
    make_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(pool=POOL).start_and_wait()
    where = ("--shm-directory", str(run.paths.root))
    words = [str(token) for token in TOKENS[:150]]
    wait_for(lambda: main.run(["sub", "clients", *where]) == 0, "the control process to answer")
    assert main.run(["sub", "add", "system", *words, "--mode", "full", *where]) == 0
    wish = dict.fromkeys(TOKENS[:150], int(Mode.FULL))
    wait_for_wire(run, wish)
    pid = run.kill("control 0")
    wait_for(lambda: run.pid("control 0") not in (0, pid), "its successor")
    wait_for(lambda: main.run(["sub", "clients", "--json", *where]) == 0, "it to answer")
    found = {c["name"]: c for c in json.loads(capsys.readouterr().out.splitlines()[-1])}
    assert (found["cli"]["instruments"], found["cli"]["durable"]) == (150, True)
    assert main.run(["sub", "rm", "system", *words[:50], *where]) == 0
    assert wire_is(run, wish)  # for as long as others may come back
    assert main.run(["pool", "rebalance", "--dry-run", *where]) == 0
    assert "instruments move" in (text := capsys.readouterr().out) or "in balance" in text
    assert handshakes(run) == [1] * len(run.numbers)
    assert run.stop() == 0
    run.assert_nothing_left()


def test_a_kite_ticker_has_three_times_what_the_original_has(make_run: Make) -> None:
    run = make_run(
        pool="headroom = 0.0", connections=3, count=3000, simulator="rate = 3000.0",
        rings="packets_per_instrument_per_s = 2.0",
    ).start_and_wait()  # fmt: skip
    tokens = list(simulated_tokens(0, 9000))
    seen: set[int] = set()
    ticker = KiteTicker("", "", instance=run.paths.name, shm_directory=run.paths.root)
    ticker.on_ticks = lambda ws, ticks: seen.update(tick["instrument_token"] for tick in ticks)
    ticker.connect(threaded=True)
    try:
        ticker.subscribe(tokens)
        ticker.set_mode(ticker.MODE_FULL, tokens[:3000])
        with pytest.raises(pipeline.CapacityError) as full:
            ticker.subscribe([*simulated_tokens(9000, 1)])
        assert full.value.available == 0
        assert len(ticker.subscribed_tokens) == 9000
        wish = dict.fromkeys(tokens, int(Mode.QUOTE)) | dict.fromkeys(tokens[:3000], int(Mode.FULL))
        wait_for(lambda: wire_is(run, wish), "9,000 instruments on the wire")
        assert handshakes(run) == [1, 1, 1]
        wait_for(lambda: len(seen) == 9000, "a tick of each instrument")
    finally:
        ticker.stop()
        assert ticker.websocket_thread is not None
        ticker.websocket_thread.join(60)
    assert run.stop() == 0
    run.assert_nothing_left()


@pytest.mark.parametrize(("count", "filled"), [(500, [50.0]), (2500, [100.0, 100.0, 50.0])])
def test_the_same_script_serves_500_and_2500_instruments(
    make_run: Make, count: int, filled: list[float]
) -> None:
    run = make_run(
        pool="instruments_per_connection = 1000\nheadroom = 0.0\npolicy = 'first_fit'",
        connections=3, count=1000, simulator="rate = 5000.0\ninterval_s = 0.1",
        rings="packets_per_instrument_per_s = 10.0",
    ).start_and_wait()  # fmt: skip
    tokens = list(simulated_tokens(0, count))
    seen: set[int] = set()

    def on_ticks(account_id: str, ticks: TickArray) -> None:
        assert account_id == "exchange"
        seen.update(ticks["instrument_token"].tolist())

    async def script() -> Any:
        async with pipeline.PoolClient(run.paths.name, shm_directory=run.paths.root) as client:
            assert (await client.stats())["accounts"]["exchange"]["total_connections"] == 0
            await client.subscribe_tokens(tokens, on_ticks, lambda account_id, error: None)
            async with asyncio.timeout(DEADLINE_S):
                while len(seen) < count:
                    await asyncio.sleep(0.01)
            return await client.stats("exchange")

    found = asyncio.run(script())
    assert seen == set(tokens)
    assert [c["utilization_percent"] for c in found["connections"]] == filled
    assert found["total_target_tokens"] == found["total_subscribed_tokens"] == count
    assert run.stop() == 0
    run.assert_nothing_left()
