"""Who may connect, and what wrong keys cost."""

from __future__ import annotations

from pipeline.services.gateway.guard import Guard, Refusal, Visit
from pipeline.services.gateway.limits import Limits
from tests.services.gateway.desk import START_NS


def test_the_total_is_capped_and_given_back() -> None:
    guard = Guard(Limits(connections=2))
    visits = [guard.admit("127.0.0.1", START_NS) for _ in range(3)]
    assert isinstance(visits[2], Refusal) and visits[2].status == 503
    for visit in visits[:2]:
        assert isinstance(visit, Visit)
        visit.end()
        visit.end()
    assert guard.connections == 0
