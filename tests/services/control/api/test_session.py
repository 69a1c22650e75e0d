"""Tickets are good once and for minutes; sessions end, and outlive the process."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from pipeline.core.clock import NS_PER_S
from pipeline.services.control.api.origin import Origins
from pipeline.services.control.api.session import (
    SESSION_S,
    SESSIONS_MAX,
    TICKET_S,
    TICKETS_MAX,
    Sessions,
    csrf_token,
    is_csrf_token,
    read_cookie,
    set_cookie,
)

NOW = 1_700_000_000 * NS_PER_S


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions("test", tmp_path / "sessions.json")


def test_a_ticket_is_good_once(sessions: Sessions) -> None:
    ticket = sessions.issue_ticket(NOW, "a")
    entered = sessions.enter(ticket, NOW + 1)
    assert entered is not None and entered.session.account == "a"
    assert sessions.enter(ticket, NOW + 2) is None
    assert sessions.find(entered.value, NOW + 3) == entered.session
    assert sessions.find(entered.session.number, NOW + 3) is None  # the digest opens nothing


def test_a_ticket_is_good_for_minutes(sessions: Sessions) -> None:
    tickets = [sessions.issue_ticket(NOW) for _ in range(2)]
    assert sessions.enter(tickets[0], NOW + TICKET_S * NS_PER_S - 1) is not None
    assert sessions.enter(tickets[1], NOW + TICKET_S * NS_PER_S) is None


@pytest.mark.parametrize("wrong", ["", "x", "0" * 43, "é" * 40])
def test_what_is_no_ticket_opens_nothing(sessions: Sessions, wrong: str) -> None:
    sessions.issue_ticket(NOW)
    assert sessions.enter(wrong, NOW) is None


def test_the_oldest_go_when_there_are_too_many(sessions: Sessions) -> None:
    tickets = [sessions.issue_ticket(NOW) for _ in range(TICKETS_MAX + 1)]
    assert sessions.enter(tickets[0], NOW) is None
    assert sessions.enter(tickets[1], NOW) is not None
    values = []
    for _ in range(SESSIONS_MAX + 1):
        entered = sessions.enter(sessions.issue_ticket(NOW), NOW)
        assert entered is not None
        values.append(entered.value)
    assert sessions.find(values[0], NOW) is None
    assert sessions.find(values[-1], NOW) is not None


def test_a_session_ends_by_itself_or_when_told(sessions: Sessions) -> None:
    entered = sessions.enter(sessions.issue_ticket(NOW), NOW)
    assert entered is not None
    last = NOW + SESSION_S * NS_PER_S - 1
    assert sessions.find(entered.value, last) and sessions.is_open(entered.session.number, last)
    assert sessions.find(entered.value, last + 1) is None
    assert not sessions.is_open(entered.session.number, last + 1)
    sessions.end(entered.session)
    assert sessions.find(entered.value, NOW) is None


def test_sessions_outlive_the_process_and_their_file_tells_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sessions.json"
    first = Sessions("test", file)
    ticket = first.issue_ticket(NOW, "a")
    entered = first.enter(ticket, NOW)
    other = first.enter(first.issue_ticket(NOW), NOW)
    assert entered is not None and other is not None
    first.end(other.session)
    text = file.read_text()
    assert entered.value not in text and ticket not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    second = Sessions("test", file)
    second.restore(NOW, {"a"})
    assert second.find(entered.value, NOW) == entered.session
    assert second.find(other.value, NOW) is None
    moved = Sessions("test", file)
    moved.restore(NOW, {"b"})
    assert moved.find(entered.value, NOW) is None, "its account is gone"
    third = Sessions("test", file)
    third.restore(NOW + SESSION_S * NS_PER_S, {"a"})
    assert third.find(entered.value, NOW) is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'[{"number": 1}]'])
def test_a_broken_file_is_told_and_passed_over(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "sessions.json"
    file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        Sessions("test", file).restore(NOW, {"a"})
    assert "sessions.json" in caplog.text


def test_a_folder_that_is_gone_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = Sessions("test", tmp_path / "gone" / "sessions.json")
    sessions.restore(NOW, {"a"})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert sessions.enter(sessions.issue_ticket(NOW), NOW) is not None
    assert caplog.text.count("sessions.json") == 1


def test_the_csrf_token_is_of_one_cookie() -> None:
    assert is_csrf_token("one", csrf_token("one"))
    assert not is_csrf_token("one", csrf_token("two"))
    assert not is_csrf_token("one", "") and not is_csrf_token("one", "é")
    assert "one" not in csrf_token("one")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("s=1", "1"), ("a=2; s=1", "1"), ("a=2;s=1;s=3", "1"), ("s=", None), ("", None),
        ("ss=1", None), ("s", None), ("S=1", None), ("; ;s=1=2", "1=2"),
        ("x" * 100_000 + "; s=1", None),
    ],
)  # fmt: skip
def test_the_cookie_is_found_among_others(header: str, expected: str | None) -> None:
    assert read_cookie(header, "s") == expected


def test_no_script_sees_the_cookie_and_no_other_page_sends_it() -> None:
    plain = set_cookie("s", "v", secure=False)
    assert plain == f"s=v; Path=/; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict"
    assert set_cookie("s", "v", secure=True).endswith("; Secure")
    assert "Max-Age=0" in set_cookie("s", "", secure=False)


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True), ("localhost:8080", True), ("LOCALHOST:1", True), ("[::1]:80", True),
        ("127.0.0.1:8080", True), ("10.1.2.3", True), ("feed.example.com:443", True),
        ("", False), ("evil.example", False), ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:80", False), ("[::1", True), ("x" * 1000, False),
    ],
)  # fmt: skip
def test_a_name_that_points_here_is_not_our_name(host: str, ours: bool) -> None:
    assert Origins(["Feed.example.com"]).is_host(host) is ours


@pytest.mark.parametrize(
    ("origin", "site", "own"),
    [
        (None, None, True), (None, "none", True), (None, "same-origin", True),
        ("http://localhost:80", None, True), ("https://localhost:80", "same-origin", True),
        ("null", None, False), ("http://localhost:81", "same-site", False),
        ("http://localhost", None, False), ("http://evil.example", "cross-site", False),
        (None, "cross-site", False), (None, "same-site", False), ("", None, False),
    ],
)  # fmt: skip
def test_pages_of_others_are_told_apart(origin: str | None, site: str | None, own: bool) -> None:
    assert Origins([]).is_own("localhost:80", origin, site) is own
