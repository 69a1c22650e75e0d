"""What a service manager hears: readiness, status, signs of life, the end."""

from __future__ import annotations

import os
import select
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core.enums import SegmentKind
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.supervisor.notify import Notifier
from tests.supervisor.harness import Instance, wait_for

Make = Callable[..., Instance]


class Manager:
    """A service manager's end of the socket."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(b"\0" + name[1:].encode() if name.startswith("@") else name)
        self.heard: list[str] = []

    def hear(self, timeout_s: float = 0.0) -> list[str]:
        """Return all messages so far."""
        while select.select([self.socket], [], [], timeout_s)[0]:
            self.heard.append(self.socket.recv(4096).decode())
            timeout_s = 0.0
        return self.heard


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@tickrail-{uuid.uuid4().hex}"
    made = Manager(name)
    yield made
    made.socket.close()


def test_messages_arrive_and_the_environment_is_cleared(manager: Manager) -> None:
    environment = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "2000000", "OTHER": "stays"}
    notifier = Notifier.from_environment(environment)
    assert environment == {"OTHER": "stays"}
    notifier.ready("up")
    notifier.status("up")
    notifier.status("2 of 3")
    notifier.stopping("ending")
    assert manager.hear() == [
        *("READY=1\nSTATUS=up", "STATUS=2 of 3", "STOPPING=1\nSTATUS=ending"),
    ]


def test_the_watchdog_gets_a_sign_at_half_its_time_while_healthy(manager: Manager) -> None:
    notifier = Notifier.from_environment(
        {
            "NOTIFY_SOCKET": manager.name,
            "WATCHDOG_USEC": "2000000",
            "WATCHDOG_PID": str(os.getpid()),
        }
    )
    second = 1_000_000_000
    for now_ns, healthy, signs in (
        (second, True, 1), (second * 3 // 2, True, 1), (2 * second, True, 2),
        (3 * second, False, 2), (9 * second, False, 2), (10 * second, True, 3),
    ):  # fmt: skip
        notifier.beat(now_ns, healthy=healthy)
        assert manager.hear() == ["WATCHDOG=1"] * signs


@pytest.mark.parametrize(
    "environment",
    [
        {"WATCHDOG_USEC": "1000"},
        {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "1000"},
        {"NOTIFY_SOCKET": "vsock:2:9", "WATCHDOG_USEC": "1000"},
    ],
)
def test_without_a_manager_nothing_is_said(environment: dict[str, str]) -> None:
    notifier = Notifier.from_environment(environment)
    notifier.ready("up")
    notifier.beat(10**18, healthy=True)
    assert environment == {}


@pytest.mark.parametrize(
    ("period", "pid"),
    [("1000", "1"), ("", ""), ("0", ""), ("soon", ""), ("-5", ""), ("\u00b2", "")],
)
def test_a_watchdog_of_another_process_or_of_no_time_is_ignored(
    manager: Manager, period: str, pid: str
) -> None:
    notifier = Notifier.from_environment(
        {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": period, "WATCHDOG_PID": pid}
    )
    notifier.beat(10**18, healthy=True)
    assert manager.hear() == []


def test_of_what_a_full_socket_refuses_the_newest_status_is_sent_later(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    notifier = Notifier(manager.name, watchdog_ns=2)
    for number in range(5000):  # more than any queue of datagrams holds
        notifier.status(str(number))
        notifier.beat(number, healthy=True)
    assert len(notifier._unsent) == 1
    heard = list(manager.hear())
    assert 0 < len(heard) < 5000
    manager.heard.clear()
    notifier.beat(5000, healthy=True)
    assert manager.hear() == ["STATUS=4999", "WATCHDOG=1"]
    manager.socket.close()


def test_readiness_and_the_end_wait_for_a_full_socket(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    filler = Notifier(manager.name)
    while not filler._unsent:
        filler.ready("so")
    notifier = Notifier(manager.name, watchdog_ns=2)
    notifier.status("starting")
    notifier.ready("up")
    notifier.status("2 of 3")
    notifier.beat(1, healthy=True)  # no sign piles up that would tell of health afterwards
    notifier.status("3 of 3")
    notifier.stopping("ending")
    manager.hear()
    manager.heard.clear()
    notifier.beat(2, healthy=False)
    assert manager.hear() == ["READY=1\nSTATUS=up", "STOPPING=1\nSTATUS=ending"]
    manager.socket.close()


def test_readiness_waits_for_a_manager_that_is_not_there_yet(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "notify"))
    notifier.ready("up")
    manager = Manager(str(tmp_path / "notify"))
    notifier.beat(1, healthy=True)
    assert manager.hear() == ["READY=1\nSTATUS=up"]
    manager.socket.close()


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))
    notifier.ready("up")
    notifier.stopping("down")


def test_an_instance_tells_its_life(make_instance: Make, tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    instance = make_instance()
    # No WATCHDOG_PID: the pid is known only after the start, and systemd's child execs.
    instance.start(environment={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "600000"})
    wait_for(lambda: manager.hear(0.1).count("WATCHDOG=1") >= 3, "three signs of life")
    heard = manager.hear()
    assert heard[0].startswith("READY=1\nSTATUS=instance test runs")
    wait_for(
        lambda: any(text.startswith("STATUS=") and "of 2 connections live" in text
                    for text in manager.hear(0.1)),
        "how many connections are live",
    )  # fmt: skip
    assert not any("STOPPING=1" in text for text in manager.heard)
    assert instance.stop() == 0
    assert "STOPPING=1\nSTATUS=ending: SHUTDOWN" in manager.hear(0.1)
    manager.socket.close()
    instance.assert_nothing_left()


def test_the_watchdog_gets_no_sign_while_all_decoders_are_given_up(
    make_instance: Make, tmp_path: Path
) -> None:
    manager = Manager(str(tmp_path / "notify"))
    instance = make_instance(more="[supervisor]\ncircuit_deaths = 1\ncircuit_retry_s = 600.0")
    instance.behave("decoder-0", "exit 3")
    instance.start(environment={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "100000"})
    wait_for(lambda: "counts as FAILED" in instance.log_text(), "the decoder to be given up")
    path = instance.paths.segment(SegmentKind.SUPERVISOR_STATUS)
    page = StatusPage(Segment.attach(path, SegmentKind.SUPERVISOR_STATUS))

    def heartbeat_ns() -> int:
        return int(page.head["heartbeat_mono_ns"])

    first = heartbeat_ns()
    wait_for(lambda: heartbeat_ns() > first, "the next turn")
    signs, first = manager.hear().count("WATCHDOG=1"), heartbeat_ns()
    wait_for(lambda: heartbeat_ns() > first + 1_000_000_000, "some turns more")
    assert manager.hear().count("WATCHDOG=1") == signs
    assert instance.stop() == 0
    manager.socket.close()
    instance.assert_nothing_left()
