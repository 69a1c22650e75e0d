"""What wrong keys cost an address."""

from __future__ import annotations

from typing import Any

from pipeline.core.clock import NS_PER_S
from pipeline.services.strangers import Penalty, WrongKeys

NOW_NS = 100 * NS_PER_S
FIRST, SECOND = "203.0.113.7", "2001:db8::/64"


def wrong_keys(**options: Any) -> WrongKeys:
    usual = {"until_delay": 2, "delay_s": 0.5, "until_ban": 3, "ban_s": 60.0, "remembered": 10}
    return WrongKeys(**{**usual, **options})


def test_the_answers_come_late_and_then_none_comes() -> None:
    wrong = wrong_keys()
    late = Penalty(NS_PER_S // 2, banned=False)
    found = [wrong.count(FIRST, NOW_NS) for _ in range(3)]
    assert found == [Penalty(0, banned=False), late, Penalty(0, banned=True)]
    assert wrong.ban_left_ns(FIRST, NOW_NS + NS_PER_S) == 59 * NS_PER_S
    assert wrong.ban_left_ns(SECOND, NOW_NS) == 0
    assert wrong.ban_left_ns(FIRST, NOW_NS + 60 * NS_PER_S) == 0 and len(wrong) == 0


def test_what_is_older_than_a_minute_does_not_count() -> None:
    wrong = wrong_keys()
    for minute in range(20):
        assert wrong.count(FIRST, NOW_NS + minute * 30 * NS_PER_S).banned is False


def test_the_tables_are_bounded_and_the_ban_that_ends_first_goes_first() -> None:
    wrong = wrong_keys(until_ban=1)
    for number in range(100):
        wrong.count(str(number), NOW_NS + number)
    assert len(wrong) == 10
    assert wrong.ban_left_ns("99", NOW_NS + 100) and not wrong.ban_left_ns("0", NOW_NS + 100)
    wrong = wrong_keys()
    for number in range(100):
        wrong.count(str(number), NOW_NS)
    assert len(wrong) == 10
