"""What a client of the simulated exchange sees: opening, subscriptions, ticks, texts, load."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.sim.market import instrument_tokens
from pipeline.sim.truth import read_about, read_truth, summarise
from tests.sim.harness import (
    BINARY,
    CLOSE,
    PATIENCE_S,
    PING,
    TEXT,
    Packet,
    Simulator,
    simulator,
    split,
)

TOKENS = instrument_tokens(200)
END = '{"type":"end"}'
QUICK = ("--instruments", "200", "--interval", "0.02")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("sim"), *QUICK, "--rate", "2000") as running:
        yield running


def test_two_texts_come_first_then_a_cached_quote_of_each_instrument(quick: Simulator) -> None:
    with quick.client() as client:
        client.subscribe(TOKENS[:20])
        packets = client.frame()
    assert [text["type"] for text in client.texts] == ["instruments_meta", "app_code"]
    assert client.texts[0]["data"]["count"] == 200 and "data" not in client.texts[1]
    assert [packet.token for packet in packets] == TOKENS[:20]
    for packet in packets:
        assert packet.size == (28 if packet.token & 0xFF == 9 else 44)


def test_modes_change_the_size_of_packets(quick: Simulator) -> None:
    with quick.client() as client:
        client.subscribe(TOKENS[:20], "full")
        client.say("mode", ["ltp", TOKENS[:10]])
        packets = client.packets(lambda p: sum(x.size == 8 for x in p) >= 20)
    full = {x.size for x in packets if x.token in TOKENS[10:20]}
    assert full == {44, 28, 184, 32} or full == {44, 184}
    assert {8} <= {x.size for x in packets if x.token in TOKENS[:10]}


def test_what_is_subscribed_twice_is_counted(quick: Simulator) -> None:
    names = ("subscribed_again", "subscribed_elsewhere")
    before = quick.wait(lambda stat: not any(client["open"] for client in stat["clients"]))
    with quick.client() as one, quick.client() as other, quick.client(key="demo2") as foreign:
        for client, tokens in ((one, TOKENS[:20]), (other, TOKENS[15:30]), (foreign, TOKENS)):
            client.subscribe(tokens)
            client.frame()
        one.subscribe([*TOKENS[18:22], TOKENS[21], 1])
        one.packets(lambda found: {TOKENS[20], TOKENS[21]} <= {p.token for p in found})
        after = quick.command("stat")
    assert [after[name] - before[name] for name in names] == [2 + 1, 5 + 2]


def test_only_what_moved_is_sent_and_each_move_once(quick: Simulator) -> None:
    with quick.client() as client:
        client.subscribe(TOKENS)
        packets = client.packets(lambda p: len(p) > 2000)
    carried: dict[int, list[Packet]] = defaultdict(list)
    for packet in packets:
        carried[packet.token].append(packet)
    for seen in carried.values():
        modulus = 4096 if seen[0].volume is None else 1 << 32
        numbers = [(packet.carried - seen[0].carried) % modulus for packet in seen]
        assert numbers == list(range(len(numbers)))


def test_unknown_text_and_unknown_tokens_give_no_ticks(quick: Simulator) -> None:
    with quick.client() as client:
        client.say("subscribe", ["408065", 12345, True, None, 408065.0, {}])
        client.say("mode", ["full", [TOKENS[1]]])
        client.say("dance", [TOKENS[1]])
        client.ws.send("{")
        client.ws.send_bytes(b"binary")
        client.subscribe([TOKENS[0]])
        packets = client.packets(lambda p: len(p) >= 5)
        client.say("unsubscribe", [TOKENS[0]])
        quick.wait(lambda stat: all(c["subscribed"] == 0 for c in stat["clients"]))
    assert {packet.token for packet in packets} == {TOKENS[0]}


def test_orders_reach_every_connection_of_the_user_and_no_other(quick: Simulator) -> None:
    with quick.client("demo2") as one, quick.client("demo2") as two, quick.client() as other:
        for client in (one, two, other):
            assert [client.message()[0] for _ in range(2)] == [TEXT, TEXT]
        told = quick.command("order", key="demo2", data={"status": "UPDATE", "quantity": 7})
        assert told["connections"] == 2
        quick.command("text", text='{"type":"message","data":"bye"}')
        for client in (one, two):
            assert b'"type":"order"' in (text := client.message()[1])
            assert b'"status":"UPDATE"' in text and b'"user_id":"demo2"' in text
        assert b'"bye"' in other.message()[1]


def test_heartbeats_fill_the_silence_and_pings_are_answered(quick: Simulator) -> None:
    with quick.client() as client:
        client.ws.ping("there?")
        opcodes = [client.message() for _ in range(4)]
    assert (10, b"there?") in opcodes and (2, b"\x00") in opcodes


def test_a_close_is_answered(quick: Simulator) -> None:
    with quick.client() as client:
        client.ws.send_close(1000, b"bye")
        replies = [client.message() for _ in range(3)]
        assert replies[-1][0] == CLOSE
    quick.wait(lambda stat: not stat["clients"])


def test_too_many_instruments_are_an_error_text_and_the_first_3000_stay(tmp_path: Path) -> None:
    tokens = instrument_tokens(3100)
    with simulator(tmp_path, "--instruments", "3100", "--interval", "0.05") as running:
        with running.client() as client:
            client.subscribe(tokens)
            packets = client.frame() if client.texts else client.packets(lambda p: len(p) > 2999)
            while not any(text["type"] == "error" for text in client.texts):
                client.frame()
            assert running.command("stat")["clients"][0]["subscribed"] == 3000
        errors = [text for text in client.texts if text["type"] == "error"]
        assert len(errors) == 1 and "3000" in errors[0]["data"]
        assert [packet.token for packet in packets[:3000]] == tokens[:3000]


@pytest.mark.parametrize("mode", ["real-time", "load"])
def test_the_truth_log_is_what_the_clients_received(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "truth"
    arguments = ("--mode", mode, "--rate", "20000", "--packets-per-frame", "17", *QUICK)
    received: dict[int, list[Packet]] = defaultdict(list)
    with simulator(tmp_path, "--truth", str(path), *arguments) as running:
        clients = {number: running.client(connection=number) for number in (4, 7)}
        clients[4].subscribe(TOKENS[:120], "full")
        clients[7].subscribe(TOKENS[100:], "ltp")
        for _ in range(60):
            for number, client in clients.items():
                received[number] += client.frame()
        running.command("quiet", seconds=1000)
        running.command("text", text=END)
        for number, client in clients.items():
            while (message := client.message())[1] != END.encode():
                if message[0] == BINARY and len(message[1]) > 1:
                    received[number] += split(message[1])
        counted = sum(client["packets"] for client in running.command("stat")["clients"])
        assert len(read_truth(path)) == counted, "what stat counts is in the file"
        for client in clients.values():
            client.ws.shutdown()
    records = read_truth(path)
    summary = summarise(records)
    assert read_about(path)["seed"] == 1
    assert summary["packets"] == sum(map(len, received.values())) > 1000
    assert [s["connection"] for s in summary["sessions"]] == [4, 7]
    for number, packets in received.items():
        mine = records[records["connection"] == number]
        assert mine["instrument_token"].tolist() == [packet.token for packet in packets]
        low = np.array([packet.volume is None for packet in packets])
        carried = np.where(low, mine["sequence"] & 0xFFF, mine["sequence"])
        assert carried.tolist() == [packet.carried for packet in packets]
        assert (np.diff(mine["send_mono_ns"]) >= 0).all()
        assert (np.diff(mine["frame"].astype(np.int64)) >= 0).all()


def test_load_counts_every_instrument_up_by_one_at_the_rate_asked_for(tmp_path: Path) -> None:
    options = ("--mode", "load", "--rate", "5000", "--packets-per-frame", "50")
    with (
        simulator(tmp_path, *options, "--instruments", "200") as running,
        running.client() as client,
    ):
        client.subscribe(TOKENS[:73], "full")
        frames = [client.frame() for _ in range(40)]
    assert {len(frame) for frame in frames} == {50}
    packets = [packet for frame in frames for packet in frame][200:]
    for token in TOKENS[:73]:
        seen = [packet for packet in packets if packet.token == token]
        modulus = 4096 if seen[0].volume is None else 1 << 32
        assert [(p.carried - seen[0].carried) % modulus for p in seen] == list(range(len(seen)))


def test_sigint_ends_with_130_and_a_second_start_on_the_port_works(tmp_path: Path) -> None:
    import signal

    with simulator(tmp_path, *QUICK) as running:
        port = running.port
        assert running.stop(signal.SIGINT) == 130
    with simulator(tmp_path, *QUICK, "--port", str(port)) as again:
        assert again.port == port
    assert not (tmp_path / "control").exists()


def test_ping_from_the_exchange_is_a_control_frame_between_data(quick: Simulator) -> None:
    with quick.client() as client:
        client.subscribe(TOKENS[:5])
        client.frame()
        quick.command("ping_flood", count=3)
        pings = 0
        while pings < 3:
            pings += client.message()[0] == PING


def test_hundreds_of_connections_leave_nothing_behind(quick: Simulator) -> None:
    def descriptors() -> int:
        return len(list(Path(f"/proc/{quick.process.pid}/fd").iterdir()))

    def resident_pages() -> int:
        return int(Path(f"/proc/{quick.process.pid}/statm").read_text().split()[1])

    def cycle(count: int) -> None:
        for number in range(count):
            with quick.client() as client:
                client.subscribe(TOKENS[: number % 50 + 1])
                client.frame()
        quick.wait(lambda stat: not stat["clients"])

    at_rest = descriptors()
    cycle(20)
    before_pages = resident_pages()
    cycle(300)
    assert resident_pages() < before_pages + 4096
    deadline_s = time.monotonic() + PATIENCE_S
    while descriptors() > at_rest:  # the last control connection is being closed
        assert time.monotonic() < deadline_s


@pytest.mark.parametrize(("crossing", "taken"), [("part", 5), ("whole", 3)])
def test_what_crosses_the_limit_of_a_connection_is_refused(
    quick: Simulator, crossing: str, taken: int
) -> None:
    quick.command("instrument_limit", limit=5, crossing=crossing)
    try:
        with quick.client() as client:
            client.subscribe(TOKENS[:3])
            client.subscribe(TOKENS[2:10])  # one of them is there already
            while b"subscribe to more than 5 instruments." not in client.message()[1]:
                pass
            quick.wait(lambda stat: taken in [c["subscribed"] for c in stat["clients"]])
    finally:
        quick.command("instrument_limit")
