"""Requests and answers of the control process, as lines."""

from __future__ import annotations

import json

import pytest

from pipeline.core.control import (
    Answer,
    AnyRequest,
    Ask,
    Declare,
    Hello,
    Problem,
    Subscribe,
    mode_of,
    read_answer,
    read_request,
    to_line,
)
from pipeline.core.enums import Mode

REQUESTS: list[AnyRequest] = [
    Hello(client="a", pid=3),
    Declare(id=4, wants={"full": [408065, "NSE:INFY"]}),
    Subscribe(instruments=[1], mode="ltp", partial=True, account="main"),
    Ask(about="stats"),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_comes_back_as_it_was(request_: AnyRequest) -> None:
    line = to_line(request_)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert read_request(line) == request_


def test_an_answer_comes_back_as_it_was() -> None:
    answer = Answer(id=7, problem=Problem(code="capacity", text="full", detail={"available": 0}))
    assert read_answer(to_line(answer)) == answer


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"[]", b"{}", b'{"do": "fly"}', b'{"do": "hello"}', b"\xff\xfe", b"null",
        b'{"do": "hello", "client": 3}', b'{"do": "hello", "client": "a", "more": 1}',
        b'{"do": "subscribe", "instruments": "408065"}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_nonsense_is_a_value_error_with_a_text(line: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)) as caught:
        read_request(line)
    assert str(caught.value)


def test_requests_are_plain_json() -> None:
    assert json.loads(to_line(Ask(about="health"))) == {
        "do": "ask", "id": 0, "about": "health", "account": None, "client": None,
        "after": 0, "limit": 0,
    }  # fmt: skip


def test_modes() -> None:
    assert mode_of("full") is Mode.FULL
    with pytest.raises(ValueError, match="expected ltp, quote, full"):
        mode_of("FULL")
