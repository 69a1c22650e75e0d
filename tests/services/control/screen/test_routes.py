"""The screen's paths, over a control process as it is: figures, names, events, who may look."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.services.control.api.guard import Pass
from pipeline.services.control.api.session import Session
from pipeline.services.control.screen.routes import ScreenPaths
from pipeline.services.control.screen.stream import PAGES_MAX
from tests.screen import figures
from tests.services.control.api.served import TIMEOUT_S, Served
from tests.services.control.screen.test_document import keys


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("screen")
    served = Served(folder)
    try:
        yield served.ready()
    finally:
        served.close()


@contextmanager
def listening(served: Served) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=TIMEOUT_S)
    try:
        headers = {"Authorization": f"Bearer {served.token}"}
        connection.request("GET", "/screen/events", None, headers)
        yield connection.getresponse()
    finally:
        connection.close()


def event(response: http.client.HTTPResponse) -> Any:
    """Return the next event's data."""
    while not (line := response.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    return json.loads(line.removeprefix(b"data: "))


@pytest.mark.parametrize("path", ["/screen/state", "/screen/events", "/screen/instruments"])
def test_figures_are_for_those_who_came_in(served: Served, path: str) -> None:
    assert served.get(path, token=None).status == 401
    assert served.get(path, token="wrong").status == 401


def test_the_state_has_the_shape_that_the_page_is_tested_with(served: Served) -> None:
    served.subscribe([1, 2, 3])
    reply = served.get("/screen/state")
    assert reply.status == 200 and reply.headers["cache-control"] == "no-store"
    found, scripted = keys(reply.body), keys(figures.document(3, 60, 0.0))
    assert found.keys() == scripted.keys()
    assert found["pool"].keys() == scripted["pool"].keys()
    assert found["pool"]["accounts"][0].keys() == scripted["pool"]["accounts"][0].keys()
    seat = scripted["pool"]["accounts"][0]["connections"][0]
    assert found["pool"]["accounts"][0]["connections"][0].keys() == seat.keys()


def test_whoever_asks_often_makes_no_more_work(served: Served) -> None:
    taken = {served.get("/screen/state").body["taken_ts_ns"] for _ in range(5)}
    assert len(taken) < 5


def test_events_come_again_and_again(served: Served) -> None:
    with listening(served) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        first, second = event(response), event(response)
    assert first["instance"]["id"] == second["instance"]["id"]
    assert second["taken_ts_ns"] > first["taken_ts_ns"]


def test_there_is_room_for_so_many_pages(served: Served) -> None:
    with listening(served) as first:
        event(first)
        responses = []
        for _ in range(PAGES_MAX - 1):
            responses.append(listening(served))
            event(responses[-1].__enter__())
        with listening(served) as one_more:
            assert one_more.status == 503
        for response in responses:
            response.__exit__(None, None, None)


def test_instruments_without_a_list_are_told_without_names(served: Served) -> None:
    served.subscribe([1, 2, 3])
    found = served.get("/screen/instruments").body
    assert [row[:3] for row in found["rows"]] == [[1, "", ""], [2, "", ""], [3, "", ""]]
    assert found["unnamed"] == 3 and "instruments" in found["problem"]


def test_a_session_is_shown_its_owners_instruments_alone() -> None:
    accounts = [
        SimpleNamespace(name=name, owner=owner)
        for name, owner in (("a", "x"), ("b", "y"), ("c", "x"))
    ]
    front: Any = SimpleNamespace(config=SimpleNamespace(accounts=accounts), paths=None)
    paths = ScreenPaths(front)
    bob = Session(number="1", ends_ts_ns=1, account="b")
    assert paths._own_accounts(Pass(session=bob)) == {"b"}
    assert paths._own_accounts(Pass(session=Session(number="1", ends_ts_ns=1))) == {"a", "c"}
    assert paths._own_accounts(Pass(bearer=True)) == {"a", "b", "c"}


def test_a_number_that_is_none_is_refused(served: Served) -> None:
    assert served.get("/screen/state?after=-1").status == 422
    assert served.get("/screen/state?after=x").status == 422


def test_the_page_and_all_that_it_loads_are_served(served: Served) -> None:
    page = served.get("/")
    assert page.status == 200 and '<script src="screen/app.js" type="module">' in page.body
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy
    for name in ("app.js", "style.css", "icon.svg", "vendor/uPlot.iife.min.js",
                 "vendor/uPlot.LICENSE.txt"):  # fmt: skip
        assert served.get(f"/screen/{name}").status == 200, name
