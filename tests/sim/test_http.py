"""Telling REST from WebSocket openings, reading requests, writing answers."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sim.http import HEAD_BYTES_MAX, Answer, BadHttp, is_rest, json_answer, read_request
from tests.sim.rig import rig


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"", None),
        (b"GET /quo", None),
        (b"GET /quote?i=NSE:INFY HTTP/1.1\r\n", True),
        (b"GET /quote/ltp HTTP/1.1\r\n", True),
        (b"GET /instruments HTTP/1.1\r\n", True),
        (b"GET /sim/state HTTP/1.1\r\n", True),
        (b"POST /anything HTTP/1.1\r\n", True),
        (b"DELETE / HTTP/1.1\r\n", True),
        (b"GET / HTTP/1.1\r\n", False),
        (b"GET /?api_key=demo&access_token=demo HTTP/1.1\r\n", False),
        (b"GET /other HTTP/1.1\r\n", False),
        (b"GET /quotes HTTP/1.1\r\n", False),
        (b"nonsense\r\n", False),
        (b"\xff\xfe \xff \xff\r\n", False),
        (b"x" * HEAD_BYTES_MAX, False),
    ],
)
def test_the_first_line_decides(received: bytes, expected: bool | None) -> None:
    assert is_rest(received) is expected


def test_a_request_is_read_once_it_is_whole() -> None:
    whole = (
        b"POST /session/token?a=1&a=2 HTTP/1.1\r\nHost: x\r\nX-Kite-Version: 3\r\n"
        b"Content-Length: 11\r\n\r\napi_key=k%26"
    )
    for size in range(len(whole) - 1):
        assert read_request(whole[:size]) is None
    found = read_request(whole[:-1] + b"GET ")
    assert found is not None
    asked, keep, rest = found
    assert (asked.method, asked.path, asked.query) == ("POST", "/session/token", {"a": ["1", "2"]})
    assert (asked.headers["x-kite-version"], asked.form) == ("3", {"api_key": ["k%2"]})
    assert (keep, rest, asked.first("api_key"), asked.first("b")) == (True, b"GET ", "k%2", "")


@pytest.mark.parametrize(
    "received",
    [
        b"GET /quote\r\n\r\n",
        b"GET /quote HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /quote HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /quote HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /quote HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"GET /quote HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET " + b"x" * HEAD_BYTES_MAX,
    ],
)
def test_what_is_no_request_is_refused(received: bytes) -> None:
    with pytest.raises(BadHttp):
        read_request(received)


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"GET /quote HTTP/1.1\r\n\r\n", True),
        (b"GET /quote HTTP/1.0\r\n\r\n", False),
        (b"GET /quote HTTP/1.1\r\nConnection: Close\r\n\r\n", False),
    ],
)
def test_a_connection_stays_as_http_says(head: bytes, keeps: bool) -> None:
    found = read_request(head)
    assert found is not None and found[1] is keeps


def test_an_answer_says_its_length_and_type() -> None:
    answer = json_answer({"a": [1]}, HTTPStatus.NOT_FOUND)
    assert answer.encode(keep=True) == (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
        b'Connection: keep-alive\r\n\r\n{"a":[1]}'
    )
    found = Answer(headers={"Location": "/x"}).encode(keep=False)
    assert b"\r\nConnection: close\r\nLocation: /x\r\n" in found


LINES = st.sampled_from(
    [b"GET /quote?i=%FF HTTP/1.1", b"POST /session/token HTTP/1.1", b"GET /user/profile HTTP/1.0"]
)
FIELDS = st.lists(
    st.sampled_from(
        [b"Authorization: token demo:demo", b"Authorization: \xff:", b"Content-Length: 3", b": x"]
    )
    | st.binary(max_size=20).map(lambda data: data.replace(b"\r\n", b"")),
    max_size=4,
)


@given(line=LINES | st.binary(max_size=40), fields=FIELDS, rest=st.binary(max_size=20))
def test_whatever_comes_is_answered_refused_or_waited_for(
    line: bytes, fields: list[bytes], rest: bytes
) -> None:
    received = b"\r\n".join([line, *fields, b"", b""]) + rest
    assert is_rest(received) in (True, False, None)
    try:
        found = read_request(received)
    except BadHttp:
        return
    if found is not None:
        with rig(instruments=1) as made:
            assert made.exchange.desk.answer(found[0], 0.0).encode(keep=found[1])
