"""What a client wants is known to the control process, over that one's deaths and restarts."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.control import Act, Ask, Declare, Hello, Subscribe
from pipeline.core.errors import CapacityError, ControlUnavailable, PipelineError
from pipeline.strategy.demand import DemandKeeper, Refusal
from pipeline.strategy.wants import Placement
from tests.conftest import wait_until
from tests.strategy.fake_control import FakeControl


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeControl]:
    with FakeControl(tmp_path / "control.sock", capacity=6) as running:
        running.documents["x"] = True
        yield running


@pytest.fixture
def keeper(server: FakeControl) -> Iterator[DemandKeeper]:
    made = DemandKeeper(server.path, client="k", timeout_s=30)
    yield made
    made.close()
    assert not made._thread.is_alive()


def subscribe(keeper: DemandKeeper, *forms: int | str, mode: str = "quote", **more: object):  # type: ignore[no-untyped-def]
    return keeper.subscribe(Subscribe(instruments=list(forms), mode=mode, **more))  # type: ignore[arg-type]


def wait_for(server: FakeControl, wanted: dict[int, str]) -> None:
    wait_until(lambda: server.of("k") == wanted, timeout_s=30, what=f"{wanted}")


def test_what_is_wanted_is_in_the_ledger(server: FakeControl, keeper: DemandKeeper) -> None:
    result = subscribe(keeper, 1, "NSE:2", mode="full")
    assert (result.requested, result.accepted, result.available) == (2, 2, 4)
    assert subscribe(keeper, 1, 3).already == 1
    assert keeper.set_mode([3, 99], "ltp").requested == 2
    assert keeper.unsubscribe([2]) == 1
    assert server.of("k") == {1: "quote", 3: "ltp"} == keeper.wants()
    assert keeper.tokens() == {1, 3}
    assert keeper.tokens_of(["NSE:2"]) == {2}


def test_what_a_window_stands_for_is_learnt(server: FakeControl, keeper: DemandKeeper) -> None:
    form = "NFO:NIFTY@weekly:atm+-1:CE"
    server.documents["windows"] = [{"form": form, "instruments": [4, 5]}]
    with keeper._state:
        keeper._wants.add([form], "quote", Placement(), follow=True)
    wait_until(lambda: keeper.tokens() == {4, 5}, timeout_s=30, what="the window's instruments")
    assert keeper.token_array().tolist() == [4, 5]
    server.documents["windows"] = [{"form": form, "instruments": [5, 6]}]
    wait_until(lambda: keeper.token_array().tolist() == [5, 6], timeout_s=30, what="its move")


def test_a_refused_request_changes_nothing(server: FakeControl, keeper: DemandKeeper) -> None:
    subscribe(keeper, 1, 2)
    with pytest.raises(CapacityError) as full:
        subscribe(keeper, *range(10, 20))
    assert full.value.available == 4
    assert server.of("k") == keeper.wants() == {1: "quote", 2: "quote"}
    result = subscribe(keeper, *range(10, 16), partial=True)
    assert result.refused == (Refusal(14, "capacity", "full"), Refusal(15, "capacity", "full"))
    assert server.of("k") == keeper.wants()
    subscribe(keeper, 30, dry_run=True, partial=True)
    assert 30 not in keeper.wants()


def test_everything_is_declared_again_after_a_restart(
    server: FakeControl, keeper: DemandKeeper
) -> None:
    subscribe(keeper, 1, "NSE:2", mode="full")
    subscribe(keeper, 3, account="b")
    server.die()
    server.begin(forget=True)
    wait_for(server, {1: "full", 2: "full", 3: "quote"})
    assert server.asked(Declare)[-1].wants == {"full": [1, "NSE:2"], "quote": [3]}
    wait_until(
        lambda: server.asked(Subscribe)[-1].instruments == [3], timeout_s=30, what="where 3 goes"
    )
    assert server.asked(Subscribe)[-1].account == "b"
    keeper.unsubscribe([1])  # and it goes on as before
    assert server.of("k") == {2: "full", 3: "quote"}


def test_nothing_wanted_is_declared_too(server: FakeControl, keeper: DemandKeeper) -> None:
    subscribe(keeper, 1)
    keeper.unsubscribe([1])
    server.die()
    server.ledger["k"] = {1: "quote"}  # as it would linger
    server.begin()
    wait_for(server, {})


def test_a_request_waits_for_the_restart(server: FakeControl, keeper: DemandKeeper) -> None:
    subscribe(keeper, 1)
    server.die()
    timer = threading.Timer(0.2, lambda: server.begin(forget=True))
    timer.start()
    assert subscribe(keeper, 2).accepted == 1
    timer.join()
    assert server.of("k") == {1: "quote", 2: "quote"}


def test_a_request_whose_answer_was_lost_is_made_again(
    server: FakeControl, keeper: DemandKeeper
) -> None:
    subscribe(keeper, 1)
    server.die_before_answering = 1
    results: list[int] = []
    asking = threading.Thread(target=lambda: results.append(subscribe(keeper, 2).accepted))
    asking.start()
    wait_until(lambda: not server.path.exists(), timeout_s=30, what="the death")
    server.die()
    server.die_before_answering = 0
    server.begin(forget=True)
    asking.join(30)
    assert results == [1]
    assert server.of("k") == {1: "quote", 2: "quote"}


def test_one_that_stays_away_is_unavailable_and_nothing_changed(
    server: FakeControl, keeper: DemandKeeper
) -> None:
    subscribe(keeper, 1)
    server.die()
    keeper.timeout_s = 0.1
    with pytest.raises(ControlUnavailable, match="nothing has changed"):
        subscribe(keeper, 2)
    server.begin(forget=True)
    wait_for(server, {1: "quote"})


def test_one_that_hangs_is_unavailable(server: FakeControl) -> None:
    keeper = DemandKeeper(server.path, client="k")
    subscribe(keeper, 1)
    assert keeper._connected is not None
    keeper.timeout_s = keeper._connected.timeout_s = 0.2
    server.hanging = True
    with pytest.raises(ControlUnavailable):
        subscribe(keeper, 2)
    server.hanging = False
    wait_until(lambda: server.asked(Declare), timeout_s=30, what="the declaration")
    wait_for(server, {1: "quote"})
    keeper.close()


def test_what_waits_learns_that_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    def check() -> None:
        raise PipelineError("it has ended")

    keeper = DemandKeeper(tmp_path / "control.sock", client="k", check=check)
    with pytest.raises(PipelineError, match="it has ended"):
        subscribe(keeper, 1)
    keeper.close()
    with pytest.raises(ControlUnavailable, match="closed"):
        subscribe(keeper, 1)


def test_what_is_not_accepted_after_a_restart_is_told(
    server: FakeControl, keeper: DemandKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe(keeper, 1, "NSE:2")
    subscribe(keeper, 3, account="b")
    with keeper._state:
        keeper._wants.add(["NFO:EXPIRED"], "full", Placement(account="b"))
    server.die()
    server.begin(forget=True)
    wait_for(server, {1: "quote", 2: "quote", 3: "quote"})
    wait_until(lambda: keeper.request(Ask(about="x")), timeout_s=30, what="an answer")
    assert "1 instruments that are wanted were not accepted" in caplog.text
    assert "first of all NFO:EXPIRED: no NFO:EXPIRED" in caplog.text
    assert "1 instruments are not where they were asked for" in caplog.text
    assert len(keeper.wants()) == 4  # it goes on being wanted


def test_less_room_after_a_restart_is_told_and_filled(
    server: FakeControl, keeper: DemandKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    subscribe(keeper, 1, 2, 3)
    server.die()
    server.capacity = 2
    server.begin(forget=True)
    wait_for(server, {1: "quote", 2: "quote"})
    wait_until(lambda: "first of all 3: full" in caplog.text, timeout_s=30, what="a warning")
    assert len(keeper.wants()) == 3


def test_close_ends_a_request_that_waits(server: FakeControl) -> None:
    keeper = DemandKeeper(server.path, client="k", timeout_s=300)
    subscribe(keeper, 1)
    server.hanging = True
    caught: list[Exception] = []

    def ask() -> None:
        try:
            subscribe(keeper, 2)
        except ControlUnavailable as error:
            caught.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: len(server.asked(Subscribe)) == 2, timeout_s=30, what="the request")
    keeper.close()
    asking.join(30)
    assert len(caught) == 1 and not keeper._thread.is_alive()
    keeper.close()


def test_other_requests_go_the_same_way(server: FakeControl, keeper: DemandKeeper) -> None:
    assert keeper.request(Act(action="rebalance", dry_run=True))["done"] is False
    assert server.asked(Hello)[-1].client == "k"


def test_many_cycles_leave_no_thread_and_no_descriptor(server: FakeControl) -> None:
    def held() -> tuple[int, int]:
        gc.collect()
        return threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = held()
    for _ in range(50):
        keeper = DemandKeeper(server.path, client="k", timeout_s=30)
        subscribe(keeper, 1)
        keeper.close()
    wait_until(lambda: held() == before, timeout_s=30, what="all given back")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the server is a thread
def test_a_forked_child_is_told_to_attach(server: FakeControl, keeper: DemandKeeper) -> None:
    subscribe(keeper, 1)
    child = os.fork()
    if child == 0:
        try:
            keeper.unsubscribe([1])
        except PipelineError as error:
            keeper.close()
            os._exit(0 if "attach again in the child" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    subscribe(keeper, 2)
    assert server.of("k") == {1: "quote", 2: "quote"}
