"""Two owners of accounts on one instance, who want the same instruments.

Each gets all of his own connections' ticks once, by the exchange's log, and nothing of the other's:
no tick, no gap, no order. What fails for one moves among his own keys alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.core.control import Subscribe
from pipeline.core.enums import SegmentKind, State
from pipeline.core.errors import RequestRefused
from pipeline.core.instruments import simulated_tokens
from pipeline.kite import KiteTicker
from pipeline.shm.owners import Holders
from pipeline.shm.tables import AssignmentTable
from pipeline.strategy.control_client import ControlClient
from pipeline.strategy.items import OrderUpdate
from tests.system.gateway_rig import GatewayRun, connect, gateway_config, play
from tests.system.judge import Witness, judge, judge_moves, run_dry, truth_of
from tests.system.rig import DEADLINE_S, Run, wait_for
from tests.system.test_pool import end, rows_of
from tests.system.test_pool_failover import FEED, QUICK, ask_exchange, whole_tokens

Make = Callable[..., Run]

OWNERS = ("alice", "bob")
KEYS = {"alice": ("demo", "demo3"), "bob": ("demo2",)}
ALICE = 'owner = "alice"'
OTHERS = "".join(
    f'[[account]]\nname = "{name}"\nurl = "simulator"\napi_key = "{key}"\nowner = "{owner}"\n'
    for name, key, owner in (("bobs", "demo2", "bob"), ("more", "demo3", "alice"))
)
TWO_DECODERS = "[decoder]\ncount = 2\n"
POOL = 'instruments_per_connection = 100\nheadroom = 0.0\nhomes_file = "homes.sqlite"'


def owned(run: Run) -> dict[str, list[int]]:
    """Return each owner's connections, by their pages."""
    holders = Holders(run.paths)
    return {o: [n for n in run.numbers if holders.of(n).owner == o] for o in OWNERS}


def tokens_of(run: Run, numbers: Iterable[int]) -> list[int]:
    """Return what these connections are assigned."""
    return sorted(
        int(row["instrument_token"])
        for number in numbers
        for row in AssignmentTable(run.attach(SegmentKind.ASSIGNMENT, number)).read()[1]
    )


def complete(run: Run, wanted: dict[str, Iterable[int]]) -> None:
    """Wait until each owner's connections carry what he wants, each once, and it has ticked."""

    def is_there() -> bool:
        numbers = owned(run)
        return all(tokens_of(run, numbers[owner]) == sorted(wanted[owner]) for owner in wanted)

    wait_for(is_there, "each owner's instruments to be on his connections")
    for numbers in owned(run).values():
        for number in numbers:
            if tokens_of(run, [number]):
                wait_for(lambda n=number: run.is_complete(n), "a connection to be complete")  # type: ignore[misc]


class Client:
    """A client of one owner, as long as a `with` block."""

    def __init__(self, run: Run, owner: str | None, name: str = "t") -> None:
        self.client = ControlClient(
            run.paths.control_socket, client=name, owner=owner, timeout_s=DEADLINE_S
        )
        self.hello = self.client.hello()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.close()

    def subscribe(self, tokens: Iterable[int], **options: Any) -> Any:
        return self.client.request(Subscribe(instruments=list(tokens), mode="full", **options))


def test_both_want_the_same_and_each_gets_his_own(make_run: Make) -> None:
    run = make_run(pool=POOL, account=ALICE, more=OTHERS + TWO_DECODERS).start_and_wait()
    everybody = Witness(run, "everybody")
    witnesses = {owner: Witness(run, owner, owner=owner) for owner in OWNERS}
    tokens = whole_tokens(0, 200)
    wanted: dict[str, Iterable[int]] = {"alice": tokens[:150], "bob": tokens[50:]}
    with Client(run, "alice") as alice, Client(run, "bob") as bob:
        assert alice.hello["owner"] == "alice" and alice.hello["owners"] == list(OWNERS)
        assert alice.subscribe(wanted["alice"])["accepted"] == 150
        found = bob.subscribe(wanted["bob"])
        assert (found["accepted"], found["already"]) == (150, 0)
        complete(run, wanted)
        clients = ask_exchange(run, "stat")["clients"]
        assert {c["key"] for c in clients if c["subscribed"]} == {"demo", "demo2", "demo3"}
        rows = bob.client.ask("subscriptions")
        assert sorted(row["instrument_token"] for row in rows) == sorted(wanted["bob"])
        assert list(bob.client.ask("stats")["accounts"]) == ["bobs"]
        numbers = owned(run)
        end(run, everybody, *witnesses.values())
    assert len(set(numbers["alice"]) & set(numbers["bob"])) == 0
    for owner, witness in witnesses.items():
        verdict = judge(run, witness, connections=numbers[owner])
        assert verdict.lost == 0 and verdict.gaps == 0
        seen = witness.rows()
        assert set(seen["connection"].tolist()) == set(numbers[owner])
        assert set(seen["instrument_token"].tolist()) == set(wanted[owner])
        assert {told["connection"] for told in witness.told()} <= set(numbers[owner])
    assert judge(run, everybody).lost == 0
    run.assert_nothing_left()


def test_what_fails_for_one_moves_among_his_own_keys(make_run: Make) -> None:
    """First one of alice's connections, then all of her keys; bob sees nothing of either."""
    pool = f'{QUICK}\ninstruments_per_connection = 100\nhomes_file = "homes.sqlite"'
    run = make_run(pool=pool, account=ALICE, more=FEED + OTHERS + TWO_DECODERS).start_and_wait()
    witnesses = {owner: Witness(run, owner, owner=owner) for owner in OWNERS}
    tokens = whole_tokens(0, 80)
    wanted: dict[str, Iterable[int]] = {"alice": tokens, "bob": tokens}
    with Client(run, "alice") as alice, Client(run, "bob") as bob:
        alice.subscribe(tokens)
        bob.subscribe(tokens)
        complete(run, wanted)
        bobs = {n: rows_of(run)[n] for n in owned(run)["bob"]}
        ask_exchange(run, "refuse", status=429, seconds=3600, key="demo", retry_after_s=1)
        ask_exchange(run, "reset", key="demo")
        wait_for(lambda: subscribed(run) == {"demo2": 80, "demo3": 80}, "her other key to have all")
        complete(run, wanted)
        ask_exchange(run, "refuse", status=429, seconds=3600, key="demo3", retry_after_s=1)
        ask_exchange(run, "reset", key="demo3")
        wait_for(lambda: subscribed(run) == {"demo2": 80}, "her to have none")
        wait_for(lambda: alice.client.ask("stats")["pool"]["orphaned"] == 80, "it to be told")
        assert bob.client.ask("stats")["pool"]["orphaned"] == 0
        assert all(np.array_equal(rows_of(run)[number], rows) for number, rows in bobs.items())
        ask_exchange(run, "admit")
        wait_for(lambda: sum(subscribed(run).values()) == 160, "her connections to come back")
        complete(run, wanted)
        numbers = owned(run)
        carrying = {number for number in numbers["alice"] if len(rows_of(run)[number])}
        end(run, *witnesses.values())
    verdict = judge(run, witnesses["bob"], connections=numbers["bob"])
    assert verdict.lost == 0 and verdict.gaps == 0 and witnesses["bob"].told("Gap") == []
    # Some of hers may be gone by now, and one without instruments has sent nothing: whatever was
    # sent and is not his is hers.
    hers = set(truth_of(run)["connection"].tolist()) - set(numbers["bob"])
    assert carrying and hers >= carrying
    judge_moves(run, witnesses["alice"], connections=hers)
    run.assert_nothing_left()


def subscribed(run: Run) -> dict[str, int]:
    """Return how many instruments the exchange has subscribed for each key."""
    counts: dict[str, int] = {}
    for client in ask_exchange(run, "stat")["clients"]:
        if client["open"] and client["subscribed"]:
            counts[client["key"]] = counts.get(client["key"], 0) + client["subscribed"]
    return counts


def test_a_strategy_of_an_owner_sees_his_ticks_and_orders_alone(make_run: Make) -> None:
    run = make_run(pool=POOL, account=ALICE, more=OTHERS + TWO_DECODERS).start_and_wait()
    token = whole_tokens(0, 1)[0]

    def attach(owner: str | None) -> pipeline.Market:
        return pipeline.attach(run.paths.name, owner=owner, shm_directory=run.paths.root)

    with attach("alice") as alice, attach("bob") as bob, attach(None) as everybody:
        for market in (alice, bob):
            assert market.subscribe(token, mode="full").accepted == 1
        with pytest.raises(RequestRefused, match="name one with owner: alice, bob"):
            everybody.subscribe(token)
        complete(run, {"alice": [token], "bob": [token]})
        for market, owner in ((alice, "alice"), (bob, "bob")):
            ticks = next(market.batches(timeout_s=30))
            assert {everybody.owner_of(int(n)) for n in ticks["connection"]} == {owner}
            wait_for(lambda m=market: int(m.latest(token)["sequence"][0]), "a latest tick")  # type: ignore[misc]
            latest = market.latest(token)
            assert everybody.owner_of(int(latest["connection"][0])) == owner
            assert {info.owner for info in market.connections()} == {owner}
        ask_exchange(run, "order", key="demo2", data={"order_id": "1", "status": "OPEN"})
        ask_exchange(run, "order", key="demo", data={"order_id": "1", "status": "OPEN"})
        for market, owners in ((alice, {"alice"}), (bob, {"bob"}), (everybody, set(OWNERS))):
            seen: set[str] = set()
            wait_for(lambda m=market, s=seen, o=owners: orders(m, s) == o, "the orders")  # type: ignore[misc]
        assert run.stop() == 0
    run.assert_nothing_left()


def orders(market: pipeline.Market, seen: set[str]) -> set[str]:
    """Return whose orders have come until now."""
    while (item := market.take(orders=True)) is not None:
        if isinstance(item, OrderUpdate):
            seen.add(market.owner_of(item.connection))
    return seen


def test_a_new_control_process_finds_each_ones_connections(make_run: Make) -> None:
    run = make_run(pool=POOL, account=ALICE, more=OTHERS + TWO_DECODERS).start_and_wait()
    witnesses = {owner: Witness(run, owner, owner=owner) for owner in OWNERS}
    tokens = whole_tokens(0, 120)
    wanted: dict[str, Iterable[int]] = {"alice": tokens, "bob": tokens[:60]}
    with Client(run, "alice") as alice, Client(run, "bob") as bob:
        alice.subscribe(wanted["alice"])
        bob.subscribe(wanted["bob"])
        complete(run, wanted)
    before, pid = rows_of(run), run.kill("control 0")
    wait_for(lambda: run.pid("control 0") not in (0, pid), "its successor")
    with when_ready(run, "alice") as alice, when_ready(run, "bob") as bob:
        assert alice.subscribe(wanted["alice"])["already"] == 120
        assert bob.subscribe(wanted["bob"])["already"] == 60
        more = whole_tokens(200, 70)
        bob.subscribe(more)
        complete(run, {"alice": wanted["alice"], "bob": [*tokens[:60], *more]})
        numbers = owned(run)
        after = rows_of(run)
        assert all(np.array_equal(after[n], before[n]) for n in before if n in numbers["alice"])
        assert set(run.numbers) > set(before), "bob needed one more, with a number of its own"
        end(run, *witnesses.values())
    for owner, witness in witnesses.items():
        verdict = judge(run, witness, connections=numbers[owner])
        assert verdict.lost == 0 and verdict.gaps == 0
    run.assert_nothing_left()


def when_ready(run: Run, owner: str) -> Client:
    """Return a client, once the control process listens again."""

    def connect() -> Client | None:
        try:
            return Client(run, owner)
        except pipeline.ControlUnavailable:
            return None

    found: Client = wait_for(connect, "the control process to listen")
    return found


STATIC = """
[[connection]]
account = "exchange"
instruments_max = 100
[[connection]]
account = "bobs"
decoder = 1
instruments_max = 100
"""


HOSTED = """
from pathlib import Path
class Recorder:
    def __init__(self, folder):
        self.log = (Path(folder) / "mine.log").open("a", buffering=1)
    def on_ticks(self, ticks):
        self.log.write("".join(f"{number} " for number in ticks["connection"]) + "\\n")
"""
FOLDER = 'params = {{ folder = "{}" }}\n'


def both_want(count: int, step: int) -> str:
    """Return subscriptions of so many instruments for each, the second's so much further on."""
    return "".join(
        f'[[subscription]]\nsimulated = {{ first = {first}, count = {count} }}\nmode = "full"\n'
        f'owner = "{owner}"\n'
        for first, owner in ((0, "alice"), (step, "bob"))
    )


def make_static(run: Run, instruments: int) -> None:
    """Have a run know of the two connections that are written out."""
    run.connections, run.instruments = 2, instruments
    text = run.config.read_text()
    run.config.write_text(text.replace("instruments = 0", f"instruments = {instruments}"))


def test_without_a_pool_both_have_the_same_from_the_config(make_run: Make) -> None:
    more = OTHERS + TWO_DECODERS + STATIC + both_want(60, 30)
    run = make_run(connections=0, account=ALICE, more=more)
    make_static(run, instruments=100)
    witnesses = {owner: Witness(run, owner, owner=owner) for owner in OWNERS}
    run.start_and_wait()
    run_dry(run, *witnesses.values())
    numbers = owned(run)
    assert numbers == {"alice": [0], "bob": [1]}
    assert run.state(0) in (State.LIVE, State.QUIET)
    assert run.stop() == 0
    for owner, witness in witnesses.items():
        witness.finish()
        verdict = judge(run, witness, connections=numbers[owner])
        assert verdict.lost == 0 and verdict.gaps == 0
        assert len(np.unique(witness.rows()["instrument_token"])) == 60
    run.assert_nothing_left()


def test_a_hosted_strategy_and_a_ticker_of_an_owner_see_his_connection_alone(
    make_run: Make, tmp_path: Path, shm_root: Path
) -> None:
    (tmp_path / "mine.py").write_text(HOSTED)
    strategy = f'[[strategy]]\nentry = "mine:Recorder"\nowner = "bob"\n{FOLDER.format(tmp_path)}'
    more = OTHERS + TWO_DECODERS + STATIC + both_want(10, 0) + strategy
    run = make_run(connections=0, account=ALICE, more=more)
    make_static(run, instruments=20)
    run.start_and_wait()
    seen: list[int] = []
    ticker = KiteTicker("key", "", instance="system", shm_directory=shm_root, owner="bob")
    ticker.on_ticks = lambda ws, ticks: seen.extend(tick["instrument_token"] for tick in ticks)
    ticker.on_connect = lambda ws, response: ws.subscribe(list(simulated_tokens(0, 10)))
    ticker.connect(threaded=True)
    try:
        wait_for(lambda: len(set(seen)) == 10, "the ticker's ticks")
        assert ticker._session is not None
        assert list(ticker._session.market.attachment.streams) == [1]
        logged = tmp_path / "mine.log"
        wait_for(lambda: logged.exists() and len(logged.read_text().split()) > 20, "the strategy's")
        assert set(logged.read_text().split()) == {"1"}
    finally:
        ticker.stop()
        assert ticker.websocket_thread is not None
        ticker.websocket_thread.join(60)
    assert run.stop() == 0
    run.assert_nothing_left()


def test_the_gateway_serves_each_key_from_its_owners_connections(
    make_run: Make, tmp_path: Path
) -> None:
    """Two users want the same; what the broker denies one of them the other still has."""
    more = FEED + OTHERS + TWO_DECODERS + gateway_config(tmp_path)
    simulator = "rate = 9000.0\ninterval_s = 0.1"
    options = {"account": ALICE, "more": more, "simulator": simulator, "count": 3000}
    run = make_run(pool=POOL, **options).start()
    gateway = GatewayRun(run)
    keys = {"alice": gateway.key("a", "exchange"), "bob": gateway.key("b", "bobs")}

    async def story() -> None:
        clients = {}
        for owner, key in keys.items():
            client = clients[owner] = await connect(gateway.url, key)
            client.send(action="subscribe", symbol="INFY", exchange="NSE", mode=3)
            assert (await client.answer("subscribe"))["status"] == "success"
            client.send(action="subscribe_orders")
            assert (await client.answer("subscribe_orders"))["status"] == "success"
        for client in clients.values():
            await client.until(lambda c=client: len(c.ticks) > 3, "ticks")
        counts = await asyncio.to_thread(subscribed, run)
        assert counts["demo2"] == 1 and sum(counts.values()) == 2, counts
        await asyncio.to_thread(ask_exchange, run, "order", key="demo2")
        assert (await clients["bob"].answer("order_update"))["user_id"] == "b"
        for key in KEYS["alice"]:
            await asyncio.to_thread(
                ask_exchange, run, "refuse", status=429, seconds=3600, key=key, retry_after_s=1
            )
            await asyncio.to_thread(ask_exchange, run, "reset", key=key)
        await asyncio.to_thread(
            wait_for, lambda: subscribed(run) == {"demo2": 1}, "alice to have none"
        )
        gone_ms = time.time_ns() // 1_000_000

        def newest_ms(owner: str) -> int:
            return max(int(tick["data"]["receive_timestamp"]) for tick in clients[owner].ticks)

        await clients["bob"].until(lambda: newest_ms("bob") > gone_ms + 2000, "his to go on")
        assert newest_ms("alice") < gone_ms + 1000
        clients["alice"].send(action="ping")
        await clients["alice"].answer("pong")
        assert not any(message["type"] == "order_update" for message in clients["alice"].told)

    play(story)
    assert run.stop() == 0
    run.assert_nothing_left()
