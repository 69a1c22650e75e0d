"""The smaller parts of the simulated exchange, without a process: texts, weather, gate, control."""

from __future__ import annotations

import json
import os
import random
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ext.simulate import Output, TruthLog, truth_dtype
from pipeline.core.clock import monotonic_ns, real_ns
from pipeline.core.enums import Reason, Role, State
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.local_socket import listen_local
from pipeline.shm import specs
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.sim import gate as gate_module
from pipeline.sim import texts
from pipeline.sim.conditions import FOREVER, Conditions
from pipeline.sim.control import ControlClient, ControlPeer, answer
from pipeline.sim.gate import Gate
from pipeline.sim.market import Listing
from pipeline.sim.options import SimulatorOptions
from pipeline.sim.reader_page import ReaderPage
from pipeline.sim.transport import PlainTransport, TlsTransport
from pipeline.sim.truth import create_truth, read_about, read_truth
from tests.sim.rig import Pair, rig


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "7", "null", '{"a":"subscribe"}', '{"a":"subscribe","v":7}'),
        *('{"a":"mode","v":["full"]}', '{"a":"mode","v":["deep",[1]]}', '{"a":"mode","v":[1,[1]]}'),
        *('{"a":["subscribe"],"v":[]}', "[" * 100_000),
    ],
)
def test_messages_that_mean_nothing_are_nothing(text: str) -> None:
    assert texts.parse_command(text) is None


def test_texts_have_the_shape_of_the_real_ones() -> None:
    order = json.loads(texts.order(7, 1_700_000_000, user="demo", changes={"status": "OPEN"}))
    assert order["type"] == "order" and order["data"]["status"] == "OPEN"
    assert order["data"]["order_timestamp"] == "2023-11-15 03:43:20"
    assert json.loads(texts.app_code(0)) == {
        "type": "app_code",
        "timestamp": "1970-01-01T05:30:00+05:30",
    }
    assert texts.parse_command('{"a":"mode","v":["full",[1,2]]}') == ("mode", [1, 2], 3)


def test_weather_passes() -> None:
    weather, source = Conditions(), random.Random(1)
    assert weather.calm(0.0) and weather.next_change_s(0.0) == FOREVER
    weather.hold_until_s = 5.0
    assert weather.held(4.9) and not weather.data_allowed(4.9) and weather.calm(5.0)
    assert weather.pieces(4.0, pending_frames=9, source=source) == []
    weather.dribble_until_s, weather.dribble_gap_s = 10.0, 0.5
    assert weather.pieces(6.0, pending_frames=9, source=source) == [1]
    assert weather.pieces(6.4, pending_frames=9, source=source) == []
    assert weather.next_change_s(6.4) == 6.5
    weather.merge_until_s, weather.merge_frames = 20.0, 3
    assert weather.pieces(12.0, pending_frames=2, source=source) == []
    assert weather.pieces(12.0, pending_frames=3, source=source) == [0]
    weather.split_until_s = 30.0
    assert all(1 <= n <= 200 for n in weather.pieces(25.0, pending_frames=1, source=source))
    weather.half_open = True
    assert weather.held(1e9) and weather.next_change_s(0.0) == FOREVER


@dataclass
class FakeReader:
    passed: int | None = None
    there: bool = True
    waits: int = 0

    def attached(self) -> bool:
        return self.there

    def idle_waits(self) -> int:
        return self.waits

    def window(self, connection: int) -> int:
        return 100

    def delivered(self, connection: int) -> int | None:
        return self.passed


@dataclass
class FakeClient:
    connection: int = 3
    packets_queued: int = 0
    pending_bytes: int = 0


def test_the_gate_keeps_sent_minus_delivered_within_the_window() -> None:
    reader, client = FakeReader(there=False), FakeClient()
    gate = Gate(reader)
    gate.begin_turn()
    assert gate.budget(client) == 0 and gate.wait_s() > 0
    reader.there = True
    absent_s = gate.wait_s()
    assert gate.budget(client) == 0  # it has no cursor for this connection yet
    assert absent_s > 10 * gate.wait_s() > 0  # who waits for somebody to come is in no hurry
    reader.passed = 5000
    assert gate.budget(client) == 100 and gate.wait_s() == 0
    client.packets_queued = 70
    assert gate.budget(client) == 30
    reader.passed = 5040
    assert gate.budget(client) == 70
    client.packets_queued = 135
    assert gate.budget(client) == 0  # five are not worth a turn
    gate.begin_turn()
    assert gate.budget(client) == 0 and gate.wait_s() > 0
    successor = FakeClient(packets_queued=0)
    gate.opened(successor)
    assert gate.budget(successor) == 100
    assert gate.budget(FakeClient(connection=-1)) > 1_000_000


def test_the_gate_begins_anew_only_when_a_waiting_reader_has_nothing_to_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(gate_module.time, "monotonic", lambda: now[0])
    reader, client = FakeReader(passed=0), FakeClient()
    gate = Gate(reader)
    assert gate.budget(client) == 100
    client.packets_queued = 100
    for waits, pending, reopened in ((0, 0, 0), (50, 7, 0), (51, 0, 0), (90, 0, 1)):
        reader.waits, client.pending_bytes = waits, pending
        now[0] += 5.0
        assert gate.budget(client) == 0 and gate.reopened == reopened
    assert gate.budget(client) == 100


def test_a_readers_page_is_found_followed_and_missed(tmp_path: Path) -> None:
    paths = InstancePaths("gated", tmp_path)
    paths.make()
    Segment.create(paths.segment(specs.ticks(4, capacity=4096).kind, 4),
                   specs.ticks(4, capacity=4096), instance_id=bytes(16))  # fmt: skip
    page = ReaderPage(paths.directory, "fast")
    assert not page.attached() and page.delivered(4) is None and page.idle_waits() == 0
    path = paths.reader("fast", os.getpid())
    status = StatusPage(Segment.create(path, specs.reader(), instance_id=bytes(16)))
    status.begin(Role.STRATEGY)
    deadline_s = time.monotonic() + 20
    while not page.attached():
        assert time.monotonic() < deadline_s
    assert page.window(4) == 1024 and page.delivered(4) is None
    status.record["cursors"]["connection"][:2] = (9, 4)
    status.record["cursors"]["cursor"][:2] = (1, 777)
    status.record["cursor_count"] = 2
    assert page.delivered(4) == 777
    status.set_state(State.CLOSED, Reason.SHUTDOWN)
    while page.attached():
        assert time.monotonic() < deadline_s
    assert page.delivered(4) is None
    status.set_state(State.LIVE, Reason.STARTED)
    while not page.attached():
        assert time.monotonic() < deadline_s
    status.head["pid"] = 0
    with pytest.raises(PipelineError, match="has died"):
        while page.attached():
            assert time.monotonic() < deadline_s
    with pytest.raises(PipelineError, match="no instance's directory"):
        ReaderPage(tmp_path / "gated", "fast")


def test_the_control_channel_answers_line_by_line(tmp_path: Path) -> None:
    with rig() as on:
        on.connect(connection=6)
        assert answer(on.exchange, b"{", on.now_s) == {"ok": False, "error": "not a line of JSON"}
        assert answer(on.exchange, b"7", on.now_s)["ok"] is False
        assert answer(on.exchange, b'{"action":"stat"}', on.now_s)["clients"][0]["connection"] == 6
        near, far = socket.socketpair()
        peer = ControlPeer(near)
        with ControlClient(far) as client, near:
            far.sendall(b'{"action":"stat"}\n\n{"action":')
            peer.on_readable(on.exchange, on.now_s)
            assert b'"ok":true' in far.recv(1 << 16)
            far.sendall(b'"dance"}\n')
            peer.on_readable(on.exchange, on.now_s)
            assert b'"ok":false' in far.recv(1 << 16) and not peer.gone
            client.close()
            peer.on_readable(on.exchange, on.now_s)
            assert peer.gone


def test_the_control_socket_is_private_and_its_path_may_be_long(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = folder / "control"
    for _ in range(2):  # a dead one of the same name is in nobody's way
        with listen_local(path) as listener:
            assert path.stat().st_mode & 0o777 == 0o600
            with ControlClient(path):
                listener.setblocking(True)
                listener.accept()[0].close()
    path.unlink()
    path.write_text("a file")
    with pytest.raises(PipelineError, match="no socket"):
        listen_local(path)


def test_options_show_every_problem_and_no_token() -> None:
    options = SimulatorOptions(
        port=70_000, mode="fast", interval_s=0, packets_per_frame=0, gate="x", keys={"k": "hidden"}
    )
    with pytest.raises(ConfigError) as caught:
        options.checked()
    names = {problem.path for problem in caught.value.problems}
    expected = ("port", "mode", "interval", "packets-per-frame", "gate", "instance-directory")
    assert names == {f"--{name}" for name in expected}
    assert "hidden" not in repr(options)


def test_a_truth_log_goes_on_only_within_its_run(tmp_path: Path) -> None:
    path = tmp_path / "truth"
    for run, size in (("one", 0), ("one", 48 + 7), ("two", 0)):
        descriptor = create_truth(path, {"run": run})
        assert os.fstat(descriptor).st_size == 4096 + size // 48 * 48
        os.write(descriptor, b"x" * (48 + 7))
        TruthLog(descriptor).flush()
        os.close(descriptor)
    assert read_about(path)["run"] == "two" and len(read_truth(path)) == 1
    (tmp_path / "other").write_bytes(b"x" * 5000)
    with pytest.raises(PipelineError, match="no truth log"):
        read_truth(tmp_path / "other")


def test_a_client_that_is_too_far_behind_is_dropped() -> None:
    with rig() as on:
        client = on.connect()
        client.conditions.hold_until_s = FOREVER
        for _ in range(40):
            client.queue(bytes(1 << 16))
        on.turn(0)
        assert client.gone and client not in on.exchange.clients


def test_a_client_that_never_asks_does_not_stay() -> None:
    with rig() as on:
        near, far = socket.socketpair()
        client = on.exchange.accept(Pair(near), on.now_s)
        on.far[client] = far
        on.turn(9.9)
        assert not client.gone
        on.turn(0.2)
        assert client.gone and far.recv(10) == b""


def test_a_transport_tells_a_peer_that_has_gone_without_reading() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        transport = PlainTransport(listener.accept()[0])
        assert transport.established() and transport.receive() is None
        far.close()
        deadline_s = time.monotonic() + 20
        while transport.established():
            assert time.monotonic() < deadline_s
        assert transport.receive() == b""
        transport.close(reset=True)


def test_over_tls_too_the_truth_log_says_when_the_send_began(tmp_path: Path) -> None:
    sent_ns: list[tuple[int, int]] = []

    class Socket:
        """Takes a record as OpenSSL does, and by the second attempt only."""

        def send(self, record: bytes) -> int:
            sent_ns.append((real_ns(), monotonic_ns()))
            if len(sent_ns) == 1:
                raise ssl.SSLWantWriteError
            return len(record)

    listing = Listing(20, seed=7, now_s=1_700_000_000)
    path = tmp_path / "truth"
    with path.open("wb") as file:
        truth = TruthLog(file.fileno())
        output = Output(listing.market, truth)
        for position in range(20):
            output.subscribe(position, 3)
        output.fill_changed()
        transport = TlsTransport.__new__(TlsTransport)
        transport.sock, transport._retry = Socket(), b""  # type: ignore[assignment]
        assert transport.send(output) == 0
        assert transport.send(output) > 0
        truth.flush()
    records = np.fromfile(path, truth_dtype)
    first, second = sent_ns
    assert len(records) == 20
    assert np.all((first[0] <= records["send_ts_ns"]) & (records["send_ts_ns"] <= second[0]))
    assert np.all((first[1] <= records["send_mono_ns"]) & (records["send_mono_ns"] <= second[1]))


def test_subscriptions_are_counted_over_clients_and_given_back() -> None:
    with rig(rate=None) as on:
        one, two = on.connect(), on.connect()
        tokens = [int(token) for token in on.exchange.listing.tokens[:10]]
        on.say(one, "subscribe", tokens)
        on.say(two, "subscribe", tokens[5:])
        market = on.exchange.listing.market
        on.turn(0.1)
        assert [market.sequence(i) for i in range(11)] == [2] * 10 + [1]
        on.say(one, "unsubscribe", tokens)
        two.drop()
        on.turn(0)
        on.turn(0.1)
        assert market.sequence(0) == 2 and not np.any(on.exchange._subscribers)
