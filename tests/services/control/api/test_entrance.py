"""A browser's way in: the printed address, the cookie, and who is not let in."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest

from pipeline.core.control import Act, Hello, read_answer, to_line
from pipeline.core.local_socket import connect_local
from pipeline.services.control.api.guard import STRANGER_BYTES_MAX
from tests.services.control.api.served import TIMEOUT_S, Reply, Served
from tests.supervisor.harness import wait_for

FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Host": "evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


def printed(served: Served, **options: Any) -> dict[str, Any]:
    """Return what `python -m pipeline screen` prints."""
    with connect_local(served.ground.paths.control_socket, timeout_s=TIMEOUT_S) as sock:
        for request in (Hello(client="screen"), Act(action="enter", **options)):
            sock.sendall(to_line(request))
            line = b""
            while not line.endswith(b"\n"):
                line += sock.recv(65_536)
            answer = read_answer(line)
    if answer.problem is not None:
        return {"problem": answer.problem.text}
    found: dict[str, Any] = answer.result
    return found


def ticket(served: Served, **options: Any) -> str:
    return str(printed(served, **options)["url"]).partition("#ticket=")[2]


def hand_in(served: Served, text: str, **headers: str) -> Reply:
    """Hand a ticket in; a burst of tests is more than a person does, and waits."""
    found: list[Reply] = []

    def asked() -> bool:
        body = {"ticket": text}
        found.append(served.post("/auth/session", body, token=None, headers=headers))
        return found[-1].status != 429

    wait_for(asked, "the ticket to be looked at")
    return found[-1]


def enter(served: Served, **options: Any) -> dict[str, str]:
    """Come in; return the headers that a browser sends from then on."""
    reply = hand_in(served, ticket(served, **options))
    assert reply.status == 200, reply
    return {"Cookie": reply.headers["set-cookie"].partition(";")[0]}


def test_the_address_lets_in_once(served: Served) -> None:
    found = printed(served)
    assert re.fullmatch(rf"http://127\.0\.0\.1:{served.port}/#ticket=[\w-]{{43}}", found["url"])
    text = found["url"].partition("#ticket=")[2]
    reply = hand_in(served, text)
    flags = reply.headers["set-cookie"].split("; ")[1:]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(flags) and "Secure" not in flags
    assert text not in json.dumps([reply.body, reply.headers])
    again = hand_in(served, text)
    assert again.status == 403 and "set-cookie" not in again.headers
    assert "python -m pipeline screen" in again.body["detail"]


def test_behind_tls_the_cookie_is_for_tls(served: Served) -> None:
    reply = hand_in(served, ticket(served), **{"X-Forwarded-Proto": "https"})
    assert reply.headers["set-cookie"].endswith("; Secure")


def test_with_the_cookie_all_can_be_asked(served: Served) -> None:
    cookie = enter(served)
    assert served.get("/alerts", token=None).status == 401
    assert served.get("/alerts", token=None, headers=cookie).status == 200
    assert "score" in served.get("/health", token=None, headers=cookie).body
    state = served.get("/auth/session", token=None, headers=cookie).body
    assert state["status"] == "success" and 0 < state["ends_in_s"] <= 12 * 3600
    assert served.get("/auth/session", token=None).status == 401


@pytest.mark.parametrize("headers", FOREIGN)
def test_pages_of_others_have_no_session(served: Served, headers: dict[str, str]) -> None:
    cookie = enter(served)
    given = {**cookie, **headers}
    assert served.get("/alerts", token=None, headers=given).status == 401
    assert served.get("/auth/csrf-token", token=None, headers=given).status == 401


@pytest.mark.parametrize("headers", FOREIGN)
def test_pages_of_others_cannot_hand_a_ticket_in(served: Served, headers: dict[str, str]) -> None:
    text = ticket(served)
    reply = hand_in(served, text, **headers)
    assert reply.status in (401, 403) and "set-cookie" not in reply.headers
    assert hand_in(served, text).status == 200


def test_a_foreign_name_gets_no_page(served: Served) -> None:
    reply = served.get("/", token=None, headers={"Host": "evil.example"})
    assert reply.status == 403 and "[api] hosts" in reply.body["detail"]


def test_what_changes_something_takes_the_csrf_token(served: Served) -> None:
    cookie = enter(served)
    body = {"client": "csrf", "instruments": [265]}
    assert served.post("/pool/plan", body, token=None, headers=cookie).status == 403
    token = served.get("/auth/csrf-token", token=None, headers=cookie).body["csrf_token"]
    others = enter(served)
    for name in ("X-CSRFToken", "X-CSRF-Token"):
        headers = {**cookie, name: token}
        assert served.post("/pool/plan", body, token=None, headers=headers).status == 200
        headers = {**others, name: token}
        assert served.post("/pool/plan", body, token=None, headers=headers).status == 403


def test_leaving_ends_the_session(served: Served) -> None:
    cookie = enter(served)
    token = served.get("/auth/csrf-token", token=None, headers=cookie).body["csrf_token"]
    headers = {**cookie, "X-CSRFToken": token}
    assert served.call("DELETE", "/auth/session", token=None, headers=cookie).status == 403
    reply = served.call("DELETE", "/auth/session", token=None, headers=headers)
    assert reply.status == 200 and "Max-Age=0" in reply.headers["set-cookie"]
    assert served.get("/alerts", token=None, headers=cookie).status == 401


def test_the_page_is_one_of_two(served: Served) -> None:
    outside = served.get("/", token=None)
    assert outside.status == 200 and "/auth/enter.js" in outside.body
    inside = served.get("/", token=None, headers=enter(served))
    assert inside.status == 200 and "/auth/enter.js" not in inside.body
    script = served.get("/auth/enter.js", token=None)
    assert script.status == 200 and script.headers["content-type"].startswith("text/javascript")
    for reply in (outside, inside, script):
        policy = reply.headers["content-security-policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert outside.headers["cache-control"] == inside.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/screen/index.html", "/screen/../app.py", "/screen/%2e%2e/token.py", "/screen/x"]
)
def test_files_are_only_those_of_the_page_and_for_who_is_in(served: Served, path: str) -> None:
    assert served.get(path, token=None).status == 401
    if path != "/screen/index.html":
        assert served.get(path, token=None, headers=enter(served)).status == 404


def test_an_account_that_is_not_there_has_no_address(served: Served) -> None:
    assert "known: a" in printed(served, account="nobody")["problem"]
    cookie = enter(served, account="a")
    assert served.get("/auth/session", token=None, headers=cookie).body["account"] == "a"


def test_strangers_send_little(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as sock:
        length = STRANGER_BYTES_MAX + 1
        head = f"POST /auth/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        sock.sendall(head.encode())
        assert b" 413 " in sock.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("body", [{}, {"ticket": ""}, {"ticket": "x" * 1000}, {"ticket": 1}, []])
def test_tickets_that_are_none_are_422(served: Served, body: Any) -> None:
    found: list[Reply] = []

    def asked() -> bool:
        found.append(served.post("/auth/session", body, token=None))
        return found[-1].status != 429

    wait_for(asked, "the body to be looked at")
    assert found[-1].status == 422
