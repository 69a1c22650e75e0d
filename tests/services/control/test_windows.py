"""Windows of options that follow their underlying: what moves them, and what they leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.core.control import AnyRequest, Ask, Declare, Problem, SetMode, Subscribe, Unsubscribe
from pipeline.core.enums import Mode
from pipeline.services.control.commands import Commands
from pipeline.services.control.durable import DurableDemand
from pipeline.services.control.names import Names
from pipeline.services.control.windows import FollowPolicy, Windows
from tests.instruments.lists import DAY, stored
from tests.services.control.world import Rig, pool_config

NIFTY = 256265
FORM = "NFO:NIFTY@near:atm+-2:CE,PE"
POLICY = FollowPolicy()
MINUTE = 60.0


class Street:
    """A pool with a list and prices that tests set, and a client called "t"."""

    def __init__(
        self, folder: Path, *, policy: FollowPolicy = POLICY, price: float | None = 24_000.0,
        pool: str = "",
    ) -> None:  # fmt: skip
        self.catalogue = stored(folder)
        self.price = price
        self.rig = Rig(pool_config(pool=pool))
        self.ledger = self.rig.pool.ledger
        self.policy = policy
        self.names = Names(folder / "list.sqlite", self._last_price, today=DAY)
        self.windows, self.commands = self._over(self.rig)
        self.ledger.join("t", pid=1)

    def _last_price(self, token: int) -> float | None:
        return self.price if token == NIFTY else None

    def _over(self, rig: Rig) -> tuple[Windows, Commands]:
        windows = Windows(rig.pool, self.names.expand, self.policy)
        return windows, Commands(
            rig.pool, resolve=self.names.resolve, windows=windows, about={}, questions={},
            actions={},
        )  # fmt: skip

    def ask(self, request: AnyRequest, client: str = "t") -> Any:
        answer = self.commands.answer(client, request)
        assert answer.problem is None, answer.problem
        return answer.result

    def refused(self, request: AnyRequest) -> Problem:
        before = dict(self.ledger.desired)
        answer = self.commands.answer("t", request)
        assert answer.problem is not None and self.ledger.desired == before
        return answer.problem

    def follow(self, mode: str = "quote", **more: Any) -> Any:
        return self.ask(Subscribe(instruments=[FORM], mode=mode, follow=True, **more))

    def turn(self, seconds: float = 0.1) -> None:
        """Let time pass, with a turn of the windows and the pool now and then."""
        world = self.rig.world
        end_ns = world.now_ns + round(seconds * NS_PER_S)
        while world.now_ns < end_ns:
            self.windows.turn(world.now_ns)
            self.rig.turn(0.04)
            if seconds > 1.0:
                world.now_ns += NS_PER_S // 2
        self.rig.check()

    def around(self, strike: int, reach: int = 2) -> set[int]:
        """The tokens of the options of the next expiry around a strike."""
        strikes = f"{strike - 50 * reach}..{strike + 50 * reach}"
        return set(self.catalogue.resolve([f"NFO:NIFTY@near:{strikes}"], today=DAY).require())

    @property
    def window(self) -> dict[str, Any]:
        (found,) = self.ask(Ask(about="windows"))
        return dict(found)

    @property
    def tokens(self) -> set[int]:
        return set(self.ledger.desired)


@pytest.fixture
def street(tmp_path: Path) -> Street:
    return Street(tmp_path)


def test_a_window_wants_its_options_and_its_underlying(street: Street) -> None:
    found = street.follow("full")
    assert found["accepted"] == found["requested"] == 11
    assert set(found["tokens"][FORM]) == street.around(24_000)
    modes = {token: want.mode for token, want in street.ledger.desired.items()}
    assert modes == {NIFTY: Mode.LTP} | dict.fromkeys(street.around(24_000), Mode.FULL)
    assert street.window["centre"] == 24_000 and street.window["moves"] == 0
    (client,) = street.ask(Ask(about="clients"))
    assert client["name"] == "t" and client["instruments"] == 11
    rows = street.ask(Ask(about="subscriptions", client="t"))
    assert len(rows) == 11 and all(row["clients"] == ["t"] for row in rows)


def test_it_moves_with_the_index_in_one_write(street: Street) -> None:
    street.follow()
    street.turn(2.0)
    street.price, writes = 24_150.0, street.rig.world.writes
    street.turn(MINUTE + 2)
    assert street.tokens == {NIFTY} | street.around(24_150)
    assert street.rig.world.writes == writes + 1
    assert street.window["centre"] == 24_150 and street.window["moves"] == 1
    assert street.rig.pool.counters.connections_opened == 1


def test_small_and_early_moves_do_not_count(street: Street) -> None:
    street.follow()
    street.turn(2.0)
    street.price = 24_060.0
    street.turn(2 * MINUTE)
    assert street.window["centre"] == 24_000
    street.price = 24_110.0
    street.turn(MINUTE + 2)
    assert street.window["centre"] == 24_100
    street.price = 24_300.0
    street.turn(3 * MINUTE)
    assert street.window["centre"] == 24_100, "not five minutes ago"
    street.turn(3 * MINUTE)
    assert street.window["centre"] == 24_300


def test_strikes_may_be_counted_instead_of_points(tmp_path: Path) -> None:
    street = Street(tmp_path, policy=FollowPolicy(move_strikes=3))
    street.follow()
    street.price = 24_110.0
    street.turn(2 * MINUTE)
    assert street.window["centre"] == 24_000
    street.price = 24_150.0
    street.turn(2 * MINUTE)
    assert street.window["centre"] == 24_150


def test_what_was_named_beside_the_window_stays(street: Street) -> None:
    street.follow("quote")
    named = min(street.around(23_900, 0))
    street.ask(Subscribe(instruments=[named], mode="full"))
    street.price = 24_500.0
    street.turn(2 * MINUTE)
    assert street.tokens == {NIFTY, named} | street.around(24_500)
    assert street.ledger.desired[named].mode is Mode.FULL
    assert street.ask(Unsubscribe(instruments=[FORM]))["removed"] == 10
    assert street.tokens == {named} and street.ask(Ask(about="windows")) == []


def test_other_clients_keep_what_a_window_lets_go(street: Street) -> None:
    street.ledger.join("other")
    street.follow()
    street.ask(Subscribe(instruments=[FORM]), client="other")
    street.price = 25_000.0
    street.turn(2 * MINUTE)
    assert street.tokens == {NIFTY} | street.around(25_000) | street.around(24_000)


def test_a_window_has_another_mode_by_its_form(street: Street) -> None:
    street.follow("quote")
    street.turn()
    writes = street.rig.world.writes
    assert street.ask(SetMode(instruments=[FORM], mode="full"))["refused"] == []
    street.turn()
    assert street.rig.world.writes == writes + 1
    assert {street.ledger.desired[t].mode for t in street.around(24_000)} == {Mode.FULL}
    assert street.ledger.desired[NIFTY].mode is Mode.LTP


def test_a_window_gives_up_nothing_piece_by_piece(street: Street) -> None:
    street.follow()
    assert street.ask(Unsubscribe(instruments=sorted(street.around(24_000))))["removed"] == 0
    assert len(street.tokens) == 11
    street.ask(Subscribe(instruments=[FORM]))  # without follow: it stays where it is
    assert street.ask(Ask(about="windows")) == [] and street.tokens == street.around(24_000)


def test_without_a_price_it_waits_for_the_first_tick(tmp_path: Path) -> None:
    street = Street(tmp_path, price=None)
    form = "NFO:VEDL@near:atm+-1"
    street.refused(Subscribe(instruments=[form], follow=True))  # an underlying that nobody lists
    bank = "NFO:INFY@fut:near"
    assert street.ask(Subscribe(instruments=[bank], follow=True))["accepted"] == 1
    assert street.ask(Ask(about="windows")) == []
    street.follow()
    assert street.window["centre"] == 24_000, "by the list's own price"
    street.price = 24_700.0
    street.turn(3.0)
    assert street.window["centre"] == 24_700, "the first tick does not wait for the interval"


def test_no_room_keeps_the_old_window_and_says_so(tmp_path: Path) -> None:
    pool = "instruments_per_connection = 12\nconnections_per_key = 1"
    street = Street(tmp_path, pool=pool)
    street.ledger.join("other")
    street.ask(Subscribe(instruments=[FORM]), client="other")
    street.follow()
    street.turn()
    street.price = 24_150.0
    street.turn(2 * MINUTE)
    assert street.tokens == {NIFTY} | street.around(24_000)
    assert street.window["centre"] == 24_000 and "room for 1" in street.window["problem"]
    assert street.rig.pool.stuck_windows.keys() == {f"t {FORM}"}
    street.ledger.forget("other")
    street.turn(2 * MINUTE)
    assert street.tokens == {NIFTY} | street.around(24_150)
    assert street.window["problem"] is None and not street.rig.pool.stuck_windows


def test_a_full_pool_may_swap_old_for_new(tmp_path: Path) -> None:
    street = Street(tmp_path, pool="instruments_per_connection = 11\nconnections_per_key = 1")
    street.follow()
    street.turn()
    street.price = 25_000.0
    street.turn(2 * MINUTE)
    assert street.tokens == {NIFTY} | street.around(25_000) and not street.rig.pool.unplaced


def test_a_window_without_room_is_refused_whole(tmp_path: Path) -> None:
    street = Street(tmp_path, pool="instruments_per_connection = 5\nconnections_per_key = 1")
    problem = street.refused(Subscribe(instruments=[FORM, 408065], follow=True))
    assert problem.code == "capacity" and street.ask(Ask(about="windows")) == []
    found = street.ask(Subscribe(instruments=[408065, FORM], follow=True, partial=True))
    assert found["requested"] == 12 and found["accepted"] == 1 == len(street.tokens)
    assert found["refused_count"] == len(found["refused"]) == 11


def test_a_window_lives_and_ends_with_its_client(street: Street) -> None:
    street.follow()
    now_ns = street.rig.world.now_ns
    street.ledger.leave("t", now_ns)
    assert len(street.tokens) == 11, "it lingers"
    street.ledger.join("t", pid=2)
    street.turn()
    assert street.window["form"] == FORM
    street.ledger.leave("t", street.rig.world.now_ns)
    street.turn(MINUTE)
    assert street.tokens == set() and street.ask(Ask(about="windows")) == []
    street.ledger.join("t")
    assert not street.ledger.clients["t"].parts


def test_a_declaration_brings_windows_back_and_ends_the_others(street: Street) -> None:
    other = "NFO:NIFTY@near:atm+-1:CE"
    street.ask(Subscribe(instruments=[other], follow=True))
    found = street.ask(Declare(wants={"full": [408065]}, follow={"quote": [FORM], "ltp": [other]}))
    assert found["accepted"] == 12 and found["refused"] == []
    assert {row["form"] for row in street.ask(Ask(about="windows"))} == {FORM, other}
    street.ask(Declare(wants={}, follow={"quote": [FORM]}))
    assert street.window["form"] == FORM and street.tokens == {NIFTY} | street.around(24_000)
    bad = street.ask(Declare(wants={}, follow={"quote": ["NSE:INFY", FORM]}))
    assert bad["refused_count"] == 1 and "atm" in bad["refused"][0]["text"]
    street.ask(Declare(wants={}))
    assert street.tokens == set()


def test_windows_by_hand_outlive_the_control_process(street: Street, tmp_path: Path) -> None:
    street.ledger.join("cli", durable=True)
    request = Subscribe(instruments=[FORM], mode="full", priority="hot", follow=True)
    street.ask(request, client="cli")
    street.follow()
    file = tmp_path / "durable.json"
    DurableDemand(file, reserved=frozenset()).save(street.ledger)

    rig = Rig(pool_config())
    DurableDemand(file, reserved=frozenset()).restore(rig.pool.ledger)
    windows, commands = street._over(rig)
    windows.restore()
    (window,) = windows.document()
    assert window["client"] == "cli" and window["mode"] == "full" and window["centre"] == 24_000
    assert commands.answer("cli", Unsubscribe(instruments=[FORM])).result["removed"] == 10
    assert not rig.pool.ledger.desired


def test_an_expired_week_does_not_wait(street: Street) -> None:
    street.follow()
    street.turn(2.0)
    street.names._today = DAY.replace(day=22)  # the week of the 21st has ended
    old = street.around(24_000)
    street.turn(2 * MINUTE)
    assert street.window["moves"] == 1 and old.isdisjoint(street.tokens)
    assert len(street.tokens) == 11
