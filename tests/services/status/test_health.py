"""What counts as wrong."""

from __future__ import annotations

from pipeline.core.clock import NS_PER_S, monotonic_ns
from pipeline.core.enums import InstanceState, Reason, State
from pipeline.services.status import problems, snapshot
from tests.services.status.establish import Established


def _problems(established: Established) -> list[str]:
    return problems(snapshot(established.paths))


def test_in_order(established: Established) -> None:
    assert _problems(established) == []


def test_a_connection_that_is_not_live(established: Established) -> None:
    established.feeds[1].set_state(State.AUTH_EXPIRED, Reason.AUTH_REJECTED)
    (line,) = _problems(established)
    assert line.startswith("connection 1 is AUTH_EXPIRED (AUTH_REJECTED)")


def test_dead_and_hung_processes(established: Established) -> None:
    rows = established.supervisor.record["processes"]
    rows["pid"][0] = 0
    rows["circuit_open"][1] = 1
    established.decoder.beat(monotonic_ns() - 5 * NS_PER_S)
    established.feeds[2].beat(monotonic_ns() - 5 * NS_PER_S)
    found = _problems(established)
    assert found[0] == "feed-0 does not run"
    assert found[1].startswith("feed-1 keeps dying")
    assert found[2].startswith("decoder 0 gave no sign for 5")
    assert found[3].startswith("connection 2: its feed gave no sign")


def test_an_account_that_does_not_balance(established: Established) -> None:
    established.feeds[0].record["messages_in"] += 1  # being counted at this moment
    assert _problems(established) == []
    established.feeds[0].record["messages_in"] += 5
    assert _problems(established) == ["connection 0: feed messages do not balance, off by 6"]


def test_an_instance_that_drains(established: Established) -> None:
    established.file.set_state(InstanceState.DRAINING, Reason.SHUTDOWN)
    assert _problems(established) == ["the instance is draining (SHUTDOWN)"]
