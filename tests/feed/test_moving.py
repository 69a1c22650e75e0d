"""An instrument moves to another connection: nothing is lost, and nothing comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.brokers.handover import LINGER_NS
from pipeline.core.enums import Mode, TickFlag
from pipeline.shm.tables import confirmed_since
from tests.feed.lane_rig import TOKENS
from tests.feed.moving import KINDS, Content, Move

OLD, NEW = 0, 1


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return Move(tmp_path)


def full(number: int, **more: int) -> Content:
    """Return a full packet whose every order rises with `number`, its price, too."""
    order = dict.fromkeys(("time", "volume", "trade_time", "price"), number)
    return Content("full", **{**order, **more})


def prices(move: Move) -> tuple[list[int], list[int]]:
    """Return what each connection delivered: last prices, as the contents have them."""
    found = [rig.ticks()["last_price"] for rig in move.rigs]
    old, new = ([round(p * 100) - 10_000 for p in column.tolist()] for column in found)
    return old, new


def handed_over(move: Move) -> tuple[list[bool], list[bool]]:
    flags = [rig.ticks()["flags"] & TickFlag.HANDOVER for rig in move.rigs]
    old, new = ((column != 0).tolist() for column in flags)
    return old, new


def repeated(move: Move) -> list[int]:
    return [rig.counters()["packets_repeated"] for rig in move.rigs]


def each(move: Move, *packets: tuple[int, Content]) -> None:
    """Have packets decoded one by one, in this order."""
    for connection, content in packets:
        move.send(connection, content)
        move.run()


class TestOrder:
    def test_a_tick_that_both_deliver_comes_once(self, move: Move) -> None:
        move.assign(NEW, 0)
        each(move, (OLD, full(1)), (OLD, full(2)), (NEW, full(1)), (NEW, full(2)), (NEW, full(3)))
        each(move, (OLD, full(3)), (OLD, full(4)), (NEW, full(4)), (NEW, full(5)))
        assert prices(move) == ([1, 2, 4], [3, 5])
        assert handed_over(move) == ([False] * 3, [True, False])
        assert repeated(move) == [1, 3]

    def test_the_books_of_one_second_come_once_each(self, move: Move) -> None:
        """Without a trade only the content tells them apart, also of the last but one."""
        move.assign(NEW, 0)
        books = [full(1, book=n) for n in range(6)]
        each(move, *[(OLD, book) for book in books[:4]], *[(NEW, book) for book in books])
        each(move, *[(OLD, book) for book in books])
        assert [len(rig.ticks()) for rig in move.rigs] == [4 + 4, 2]

    @pytest.mark.parametrize("leads", [OLD, NEW])
    def test_a_successor_knows_the_last_contents_and_not_those_of_one_connection(
        self, move: Move, leads: int
    ) -> None:
        """No more than some dozens are remembered, of both together."""
        move.assign(NEW, 0)
        follows = NEW if leads == OLD else OLD
        each(move, (OLD, full(0)), (NEW, full(0)), *[(leads, full(n)) for n in range(1, 41)])
        books = [full(40, book=n) for n in range(1, 4)]
        each(move, *[(follows, book) for book in books])
        move.die()
        each(move, *[(leads, book) for book in books])
        assert len(move.rigs[leads].ticks()) == 40 + (leads == OLD)

    def test_an_older_state_that_the_newer_left_out_is_dropped(self, move: Move) -> None:
        """Each connection conflates alone."""
        move.assign(NEW, 0)
        each(move, (OLD, full(1)), (NEW, full(2)), (NEW, full(5)), (OLD, full(3)), (OLD, full(6)))
        assert prices(move) == ([1, 6], [2, 5])
        assert repeated(move) == [1, 0]

    @pytest.mark.parametrize(
        "older",
        [full(3, time=2), full(3, volume=2), full(3, trade_time=2), full(3, volume=9, time=2)],
        ids=["exchange time", "volume", "trade time", "time before volume"],
    )
    def test_what_makes_a_full_packet_older(self, move: Move, older: Content) -> None:
        move.assign(NEW, 0)
        each(move, (OLD, full(1)), (NEW, full(2, time=1)), (NEW, full(3)), (OLD, older))
        assert repeated(move) == [1, 0]

    def test_what_the_newcomer_never_had_is_delivered_late(self, move: Move) -> None:
        """The old connection's feed was held up; the new one began ahead of it."""
        move.assign(NEW, 0)
        each(move, (OLD, full(1)), (NEW, full(4)), (OLD, full(2)), (OLD, full(3)), (OLD, full(4)))
        assert prices(move) == ([1, 2, 3], [4])
        assert handed_over(move) == ([False, True, True], [True])
        assert float(move.rigs[0].latest(TOKENS[0])["exchange_ts_ns"]) == 4e9
        each(move, (NEW, full(5)), (OLD, full(6)))
        assert handed_over(move)[1] == [True, False]
        doubts = TickFlag.VOLUME_DOWN
        assert not any(int(f) & doubts for rig in move.rigs for f in rig.ticks()["flags"])

    def test_a_quote_is_repeated_by_the_full_packet_and_not_the_reverse(self, move: Move) -> None:
        move.assign(NEW, 0)
        quote = Content("quote", volume=1, price=1)
        each(move, (OLD, quote), (NEW, full(1)), (OLD, quote), (OLD, quote._replace(volume=0)))
        assert prices(move) == ([1, 1], [1])  # its own content once more: as on one connection
        assert repeated(move) == [1, 0]
        each(move, (NEW, full(2)), (OLD, Content("quote", volume=2, price=2)))
        assert repeated(move) == [2, 0]

    def test_index_packets_have_the_exchange_time(self, move: Move) -> None:
        move.assign(NEW, 0)
        index = [Content("index full", time=t, price=p) for t, p in ((1, 1), (1, 2), (2, 3))]
        each(move, *[(OLD, i) for i in index], *[(NEW, i) for i in index])
        assert repeated(move) == [0, 3]


class TestWithoutOrder:
    @pytest.mark.parametrize("kind", ["ltp", "index"])
    def test_what_cannot_be_told_from_news_is_flagged(self, move: Move, kind: str) -> None:
        one, two = Content(kind, price=1), Content(kind, price=2)
        each(move, (OLD, one))
        move.assign(NEW, 0)
        each(move, (OLD, one), (NEW, one), (OLD, one), (OLD, two), (NEW, two), (NEW, one))
        assert prices(move) == ([1, 1, 2], [1, 1])
        assert handed_over(move) == ([False, False, True], [True, True])
        assert repeated(move) == [1, 1]

    def test_a_full_packet_says_what_an_ltp_packet_would(self, move: Move) -> None:
        each(move, (OLD, Content("ltp", price=1)))
        move.assign(NEW, 0)
        each(move, (OLD, Content("ltp", price=2)), (NEW, full(3)), (OLD, Content("ltp", price=3)))
        assert (repeated(move), prices(move)) == ([1, 0], ([1, 2], [3]))


class TestOneConnection:
    def test_it_loses_nothing_before_and_after(self, move: Move) -> None:
        goes_back = [full(5), full(5), full(3), full(3, volume=1), Content("ltp"), Content("ltp")]
        each(move, *[(OLD, content) for content in goes_back])
        move.assign(NEW, 0)
        each(move, (NEW, full(6)))
        move.unassign(OLD, 0)
        move.run()  # the old connection is silent, and knows it all the same
        move.wait()
        each(move, *[(NEW, content) for content in goes_back])
        assert [len(rig.ticks()) for rig in move.rigs] == [6, 7]
        assert repeated(move) == [0, 0]

    def test_a_change_without_overlap_is_flagged_and_costs_nothing(self, move: Move) -> None:
        each(move, (OLD, full(2)))
        move.unassign(OLD, 0)
        move.assign(NEW, 0)
        each(move, (NEW, full(2)), (NEW, full(2)))
        assert handed_over(move) == ([False], [True, False])
        assert repeated(move) == [0, 0]

    def test_a_connection_that_is_gone_shares_nothing(self, move: Move) -> None:
        move.assign(NEW, 0)
        each(move, (OLD, full(1)), (NEW, full(2)), (OLD, full(3)))
        move.decoder.remove_lane(OLD)
        contents = [full(2), full(3), full(4)]
        for wait_ns in (0, LINGER_NS):  # the first ones may have been on their way before
            move.rigs[NEW].now += wait_ns
            for content in contents:
                move.rigs[NEW].send(move.frame(content))
            move.decoder.run(10**9, until_idle=True)
        assert prices(move) == ([1, 3], [2, 4, 2, 3, 4])

    def test_another_instrument_in_the_same_slot_is_none_of_its_business(self, move: Move) -> None:
        each(move, (OLD, full(5)))
        rows = move.rigs[OLD].assignment.read()[1]
        rows["slot"][rows["instrument_token"] == TOKENS[1]] = 0
        move.rigs[NEW].assignment.write(rows, changed_mono_ns=move.now)
        move.rigs[NEW].send(move.frame(full(1, token=1)))
        move.decoder.run(10**9, until_idle=True)
        assert (prices(move), handed_over(move)) == (([5], [1]), ([False], [False]))
        confirmed = move.rigs[NEW].confirmed()
        assert int(confirmed[0]["instrument_token"]) == TOKENS[1]


class TestLetGo:
    """One has let go of it; the other, which has it alone, may be behind."""

    def let_go(self, move: Move) -> None:
        move.assign(NEW, 0)
        each(move, (OLD, full(1)), (NEW, full(1)), (OLD, full(2)), (OLD, full(3)))
        move.unassign(OLD, 0)
        move.run()

    @pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
    def test_what_the_other_has_delivered_is_dropped(self, move: Move, dies: bool) -> None:
        self.let_go(move)
        if dies:
            move.die()
        each(move, (NEW, full(2)), (NEW, full(3)), (NEW, full(4)))
        assert prices(move) == ([1, 2, 3], [4])

    def test_books_that_the_other_has_delivered_are_dropped(self, move: Move) -> None:
        """Only their content says that the second is not older than the third."""
        move.assign(NEW, 0)
        books = [full(1, book=n) for n in range(6)]
        each(move, (OLD, books[0]), (NEW, books[0]), *[(OLD, book) for book in books[1:4]])
        move.unassign(OLD, 0)
        move.die()
        each(move, *[(NEW, book) for book in books])
        assert [len(rig.ticks()) for rig in move.rigs] == [4, 2]

    @pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
    def test_after_a_while_all_is_delivered(self, move: Move, dies: bool) -> None:
        self.let_go(move)
        if dies:
            move.die()
        move.wait()
        each(move, (NEW, full(2)), (NEW, full(3)))
        assert prices(move) == ([1, 2, 3], [2, 3])

    def test_what_has_no_order_is_delivered(self, move: Move) -> None:
        """It may be a trade at the same price, of which nobody else would tell."""
        one, two = Content("ltp", price=1), Content("ltp", price=2)
        move.assign(NEW, 0)
        each(move, (OLD, one), (NEW, one), (OLD, two))
        move.unassign(OLD, 0)
        each(move, (NEW, two), (NEW, two))
        assert prices(move) == ([1, 2], [1, 2, 2])
        assert handed_over(move)[1] == [True, True, False]


class TestConfirmed:
    def is_confirmed(self, move: Move, connection: int, token: int) -> bool:
        rig = move.rigs[connection]
        rows = rig.assignment.read()[1]
        rows = rows[rows["instrument_token"] == TOKENS[token]]
        rows["mode"] = Mode.FULL
        found = confirmed_since(
            rows, rig.confirmed(), connection_epoch=move.epochs[connection],
            since_mono_ns=move.assigned_at[connection, token],
        )  # fmt: skip
        return bool(found.all())

    def test_a_packet_that_is_dropped_confirms(self, move: Move) -> None:
        each(move, (OLD, full(1)), (OLD, full(2)))
        move.assign(NEW, 0)
        move.run()
        assert not self.is_confirmed(move, NEW, 0)
        each(move, (NEW, full(1)))
        assert (repeated(move), self.is_confirmed(move, NEW, 0)) == ([0, 1], True)

    def test_each_assignment_is_confirmed_anew(self, move: Move) -> None:
        """Also if the decoder sees no more than the last of several changes."""
        each(move, (OLD, full(1)))
        assert self.is_confirmed(move, OLD, 0)
        move.unassign(OLD, 0)
        move.assign(OLD, 0)
        move.run()
        assert not self.is_confirmed(move, OLD, 0)
        each(move, (OLD, full(1)))
        assert self.is_confirmed(move, OLD, 0)

    def test_what_lay_in_the_ring_confirms_no_later_assignment(self, move: Move) -> None:
        each(move, (OLD, full(1)))
        move.unassign(OLD, 0)
        move.send(OLD, full(2))
        move.assign(OLD, 0)
        move.run()
        assert not self.is_confirmed(move, OLD, 0)
        each(move, (OLD, full(3)))
        assert self.is_confirmed(move, OLD, 0)

    def test_later_changes_of_other_instruments_hide_no_packet(self, move: Move) -> None:
        move.assign(NEW, 0)
        move.send(NEW, full(1))
        move.assign(NEW, 1)
        move.run()
        assert self.is_confirmed(move, NEW, 0)

    def test_what_was_received_before_confirms_nothing_at_all(self, move: Move) -> None:
        """So that the first packet's time is never one of later."""
        move.assign(NEW, 0)
        each(move, (NEW, full(1)))
        first = int(move.rigs[NEW].confirmed()[0]["first_packet_mono_ns"])
        move.send(NEW, full(2))
        move.assign(NEW, 1)
        move.die()
        each(move, (NEW, full(3)))
        assert int(move.rigs[NEW].confirmed()[0]["first_packet_mono_ns"]) == first

    def test_a_successor_confirms_what_was_assigned_while_nobody_decoded(self, move: Move) -> None:
        each(move, (OLD, full(1)))
        move.unassign(OLD, 0)
        move.assign(OLD, 0)
        move.die()
        each(move, (OLD, full(2)))
        assert self.is_confirmed(move, OLD, 0)


def content() -> st.SearchStrategy[Content]:
    few = st.integers(0, 2)
    return st.builds(
        Content, kind=st.sampled_from(KINDS), time=st.integers(0, 3), volume=st.integers(0, 3),
        trade_time=few, price=few, book=few, token=st.integers(0, 1),
    )  # fmt: skip


CONNECTION = st.integers(0, 1)
STEP = st.one_of(
    st.tuples(st.just("send"), CONNECTION, content()),
    st.tuples(st.just("send"), CONNECTION, content(), content(), content()),
    st.tuples(st.sampled_from(["assign", "unassign"]), CONNECTION, st.integers(0, 1)),
    st.tuples(st.just("reconnect"), CONNECTION),
    st.tuples(st.sampled_from(["run", "die", "wait"])),
)
SLOW = (HealthCheck.too_slow,)


@given(steps=st.lists(STEP, max_size=30))
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
def test_whatever_comes_is_judged_as_by_the_model(
    steps: list[tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    move = Move(tmp_path_factory.mktemp("move"))
    move.assign(NEW, 0)
    for name, *arguments in steps:
        getattr(move, name)(*arguments)
    move.run()
