"""Alerts follow facts: opened once, resolved once, bounded."""

from __future__ import annotations

from pipeline.services.control.alerts import RESOLVED_MAX, Alert, Alerts, Fact, FactKey, Severity


def _facts(*names: str, text: str = "x", owner: str = "") -> dict[FactKey, Fact]:
    found = [Fact("down", name, Severity.ERROR, text, owner) for name in names]
    return {fact.key: fact for fact in found}


def test_a_fact_opens_one_alert_and_its_end_resolves_it() -> None:
    told: list[tuple[int, bool]] = []

    def tell(alert: Alert) -> None:
        told.append((alert.number, bool(alert.resolved_ts_ns)))

    alerts = Alerts(tell)
    alerts.follow(_facts("a", "b"), 10)
    alerts.follow(_facts("a", "b", text="worse"), 20)
    assert [alert.fact.text for alert in alerts.open] == ["worse", "worse"]
    assert [alert.since_ts_ns for alert in alerts.open] == [10, 10]
    alerts.follow(_facts("b"), 30)
    assert told == [(1, False), (2, False), (1, True)]
    document = alerts.document()
    assert [found["subject"] for found in document["open"]] == ["b"]
    resolved = document["resolved"][0]
    assert (resolved["subject"], resolved["resolved"], resolved["resolved_ts_ns"]) == (
        "a",
        True,
        30,
    )


def test_what_comes_back_is_another_alert() -> None:
    alerts = Alerts()
    for now in range(6):
        alerts.follow(_facts("a") if now % 2 == 0 else {}, now)
    assert [found["id"] for found in alerts.document()["resolved"]] == [3, 2, 1]


def test_the_past_is_bounded() -> None:
    alerts = Alerts()
    for now in range(3 * RESOLVED_MAX):
        alerts.follow(_facts(str(now)), now)
    document = alerts.document()
    assert len(document["open"]) == 1 and len(document["resolved"]) == RESOLVED_MAX


def test_an_owner_is_told_of_his_own_and_of_everybodys() -> None:
    alerts = Alerts()
    hers, his, all_theirs = (_facts(n, owner=o) for n, o in (("a", "x"), ("a", "y"), ("b", "")))
    alerts.follow(hers | his | all_theirs, 1)
    alerts.follow(his | all_theirs, 2)

    def told(owner: str | None) -> list[list[int]]:
        return [[row["id"] for row in rows] for rows in alerts.document(owner).values()]

    assert told(None) == [[3, 2], [1]]
    assert told("x") == [[3], [1]] and told("y") == [[3, 2], []]
    assert "owner" not in alerts.document()["open"][0]
