"""Actions on running clients: what the other end of the socket sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket

from pipeline.core.errors import PipelineError
from pipeline.sim.market import instrument_tokens
from pipeline.sim.truth import read_truth, summarise
from tests.sim.harness import BINARY, CLOSE, Packet, Simulator, simulator, split

TOKENS = instrument_tokens(100)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    options = ("--instruments", "100", "--interval", "0.02", "--rate", "max")
    with simulator(tmp_path_factory.mktemp("sim"), *options) as process:
        yield process


def assert_in_order(packets: list[Packet]) -> None:
    for token in {packet.token for packet in packets}:
        seen = [packet for packet in packets if packet.token == token]
        modulus = 4096 if seen[0].volume is None else 1 << 32
        steps = [(b.carried - a.carried) % modulus for a, b in zip(seen, seen[1:], strict=False)]
        # A client that is behind gets the newest state: conflation may skip, never repeat.
        assert all(1 <= step < 2048 for step in steps), (token, steps)


def test_reset_fin_and_close_end_a_connection_each_in_its_way(running: Simulator) -> None:
    with running.client(connection=1) as client:
        client.subscribe(TOKENS[:5])
        client.frame()
        assert running.command("reset", connection=1)["sessions"]
        with pytest.raises((ConnectionResetError, websocket.WebSocketException)):
            while True:
                client.message()
    with running.client(connection=1) as client:
        running.command("fin", connection=1)
        with pytest.raises(websocket.WebSocketConnectionClosedException):
            while True:
                client.message()
    with running.client(connection=1) as client:
        running.command("close", connection=1, code=1012, reason="restart")
        while (message := client.message())[0] != CLOSE:
            pass
        assert message[1] == (1012).to_bytes(2, "big") + b"restart"
    running.wait(lambda stat: not stat["clients"])


def test_mute_holds_every_byte_of_one_client_and_half_open_for_ever(running: Simulator) -> None:
    with running.client(connection=1) as muted, running.client(connection=2) as other:
        for client in (muted, other):
            client.subscribe(TOKENS[:5])
            client.frame()
        for action, more in (("mute", {"seconds": 1000}), ("half_open", {})):
            running.command(action, connection=1, **more)
            before = running.command("stat")["clients"]
            for _ in range(20):
                other.frame()
            after = running.command("stat")["clients"]
            assert before[0]["frames"] == after[0]["frames"]
            assert after[1]["frames"] > before[1]["frames"]
            running.command("calm", connection=1)
        muted.ws.ping()
    running.wait(lambda stat: not stat["clients"])


def test_quiet_leaves_heartbeats(running: Simulator) -> None:
    with running.client() as client:
        client.subscribe(TOKENS[:5])
        client.frame()
        running.command("quiet", seconds=1000)
        while client.heartbeats < 1:
            if client.message() == (2, b"\x00"):
                client.heartbeats += 1
        running.command("calm")
        assert client.frame()


@pytest.mark.parametrize(
    ("action", "parameters"),
    [
        ("dribble", {"seconds": 0.3, "gap_ms": 0.1}),
        ("split", {"seconds": 0.5}),
        ("merge", {"frames": 5, "seconds": 0.5}),
        ("delay", {"ms": 100}),
    ],
)
def test_awkward_delivery_keeps_frames_whole_and_in_order(
    running: Simulator, action: str, parameters: dict[str, float]
) -> None:
    with running.client() as client:
        client.subscribe(TOKENS[:20])
        first = client.frame()
        running.command(action, **parameters)
        packets = client.packets(lambda p: len(p) > 600)
    assert_in_order(first + packets)


def test_fragments_are_one_message(running: Simulator) -> None:
    with running.client() as client:
        client.subscribe(TOKENS[:20])
        packets = client.frame()
        running.command("fragmented", count=20, pieces=4, packets=2)
        while len(packets) < 600:
            opcode, data = client.ws.recv_data()  # joins them, and answers the ping between
            if opcode == BINARY and len(data) > 1:
                packets += split(data)
    assert_in_order(packets)


def test_actions_are_refused_in_words(running: Simulator) -> None:
    for action, parameters, words in (
        ("dance", {}, "one of reset"),
        ("mute", {}, "seconds"),
        ("close", {"code": 5}, "at least 1000"),
        ("reset", {"colour": 1}, "unknown key"),
    ):
        with pytest.raises(PipelineError, match=words):
            running.command(action, **parameters)
    assert running.command("reset", connection=77)["sessions"] == []


def test_every_action_works_on_a_live_client_and_the_truth_says_which_lie(tmp_path: Path) -> None:
    path = tmp_path / "truth"
    options = ("--instruments", "100", "--interval", "0.02", "--truth", str(path))
    frames = ("lying_count", "lying_length", "unknown_size", "trailing", "fragmented")
    rest = ("masked", "reserved_bits", "reserved_opcode", "empty", "giant", "ping_flood")
    with simulator(tmp_path, *options) as running, running.client() as client:
        client.subscribe(TOKENS)
        client.frame()
        for action in (*frames, *rest, "over_limit", "bad_text", "order"):
            running.command(action)
        running.wait(lambda stat: stat["clients"][0]["pending_bytes"] == 0)
    kinds = summarise(read_truth(path))["kinds"]
    assert kinds["cached"] == 100
    assert kinds["lying"] >= 5 and kinds["fresh"] > 0
