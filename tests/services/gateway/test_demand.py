"""What clients want of the pool: the highest mode, for a while longer than they have it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline.core.control import Subscribe
from pipeline.services.gateway.demand import Asker, Demand, Wishes
from pipeline.shm.names import InstancePaths
from pipeline.strategy.demand import Refusal, SubscribeResult
from tests.strategy.fake_control import FakeControl
from tests.supervisor.harness import wait_for

S = 10**9


def test_the_highest_mode_is_wanted_and_stays_so_for_a_while() -> None:
    wishes, had = Wishes(30 * S), {1: 3}
    assert wishes.want(1, 1) and wishes.want(1, 3) and not wishes.want(1, 2)
    had[1] = 1
    wishes.release(1, 1, 0)
    assert not wishes.settle(29 * S, lambda token: had.get(token, 0)) and wishes.wanted == {1: 3}
    assert wishes.settle(30 * S, lambda token: had.get(token, 0)) and wishes.wanted == {1: 1}
    wishes.release(1, 0, 40 * S)
    assert not wishes.want(1, 1), "wanted again, before the time was over"
    assert not wishes.settle(100 * S, lambda token: 1) and wishes.wanted == {1: 1}
    wishes.release(1, 0, 100 * S)
    assert wishes.settle(130 * S, lambda token: 0) and wishes.wanted == {}


class Book:
    """A pool that has room for some, and is away for a while."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.wanted: dict[int, str] = {}
        self.closed = threading.Event()

    def subscribe(self, request: Subscribe) -> SubscribeResult:
        refused = []
        for token in map(int, request.instruments):
            if token in self.wanted or len(self.wanted) < self.room:
                self.wanted[token] = request.mode
            else:
                refused.append(Refusal(token, "capacity", "full"))
        count = len(request.instruments)
        return SubscribeResult(count, count - len(refused), refused=tuple(refused[:1000]))

    def unsubscribe(self, instruments: list[int | str]) -> int:
        return sum(self.wanted.pop(int(token), "") != "" for token in instruments)

    def close(self) -> None:
        self.closed.set()


def test_the_pool_is_asked_for_the_difference() -> None:
    book, refused = Book(2), list[int]()
    asker = Asker("alice", lambda: book, refused.append)
    asker.ask({1: 1, 2: 3})
    wait_for(lambda: book.wanted == {1: "ltp", 2: "full"}, "both")
    asker.ask({1: 2, 2: 3, 3: 1})
    wait_for(lambda: sum(refused) == 1, "a refusal")
    assert book.wanted == {1: "quote", 2: "full"}
    asker.ask({3: 1})
    wait_for(lambda: book.wanted == {3: "ltp"}, "the other one")
    asker.close()
    assert book.closed.is_set() and sum(refused) == 1


def test_however_many_are_refused_all_of_them_are_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An answer names the first thousand refused ones; what it does not name is not accepted."""
    monkeypatch.setattr("pipeline.services.gateway.demand._AGAIN_S", 0.05)
    book, refused, told = Book(100), list[int](), list[dict[int, str]]()
    asker = Asker("alice", lambda: book, refused.append, tell=told.append)
    asker.ask(dict.fromkeys(range(3000), 1))
    wait_for(lambda: sum(refused) == 2900, "all refusals")
    wait_for(lambda: told and told[-1] == dict.fromkeys(range(100, 3000), "full"), "which")
    book.room = 3000
    wait_for(lambda: len(book.wanted) == 3000, "all of them to be wanted")
    wait_for(lambda: told[-1] == {}, "that to be told")
    asker.ask({1: 1, 2: 1})
    wait_for(lambda: book.wanted.keys() == {1, 2}, "the rest to be let go of")
    asker.close()
    assert sum(refused) == 2900


def test_what_nobody_wishes_any_more_is_refused_no_longer() -> None:
    book, told = Book(1), list[dict[int, str]]()
    asker = Asker("alice", lambda: book, lambda count: None, tell=told.append)
    asker.ask({1: 1, 2: 1})
    wait_for(lambda: told == [{2: "full"}], "the refusal")
    asker.ask({1: 1})
    wait_for(lambda: told == [{2: "full"}, {}], "nothing to be refused")
    asker.close()


def test_each_owner_is_a_client_of_its_own_and_a_restart_of_control_is_outlived(
    tmp_path: Path,
) -> None:
    paths = InstancePaths("t", tmp_path)
    paths.make()
    had = {("alice", 1): 1, ("bob", 1): 3}
    demand = Demand(
        paths, linger_ns=0, mode_of=lambda o, t: had.get((o, t), 0), refused=lambda n: None
    )
    with FakeControl(paths.control_socket) as control:
        for (owner, token), mode in had.items():
            demand.want(owner, token, mode)
        assert len(demand) == 2
        demand.settle(1)

        def all_of() -> dict[str, dict[int, str]]:
            return {name.partition(".")[0]: dict(of) for name, of in control.ledger.items()}

        wanted = {"gateway-alice": {1: "ltp"}, "gateway-bob": {1: "full"}}
        wait_for(lambda: all_of() == wanted, "both owners' wishes")
        control.die()
        control.begin(forget=True)
        wait_for(lambda: all_of() == wanted, "the wishes declared again")
        had.clear()
        demand.release("bob", 1, 2)
        demand.settle(2)
        wait_for(lambda: all_of()["gateway-bob"] == {}, "it to be let go of")
        demand.close()
