"""Two owners over HTTP: whose a request is stands in it, and has to, for demand; and what a page
shows that was given to one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.enums import Reason, SegmentKind, State
from pipeline.services.control.outside import Outside
from pipeline.shm.pages import StatusPage
from tests.services.control.api.served import SECTION, Reply, Served
from tests.services.control.api.test_entrance import enter
from tests.services.control.owners import owners_config
from tests.supervisor.harness import wait_for

POOL = 'instruments_per_connection = 10\nhomes_file = "{}"'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("owners")
    config = owners_config(POOL.format(folder / "homes.sqlite"), more=SECTION)
    served = Served(folder, config=config)
    try:
        yield served.ready()
    finally:
        served.close()


def test_demand_is_an_owners(house: Served) -> None:
    for owner, tokens in (("alice", [1, 2]), ("bob", [2, 3])):
        reply = house.subscribe(tokens, owner=owner)
        assert (reply.status, reply.body["accepted"]) == (200, 2)
    rows = house.get("/subscriptions").body
    assert [(row["instrument_token"], row["owner"]) for row in rows] == [
        (1, "alice"), (2, "alice"), (2, "bob"), (3, "bob"),
    ]  # fmt: skip
    rows = house.get("/subscriptions?owner=bob").body
    assert [row["instrument_token"] for row in rows] == [2, 3]
    body = {"client": "t", "instruments": [2], "owner": "alice"}
    assert house.call("DELETE", "/subscriptions", body=body).body["removed"] == 1
    assert [row["owner"] for row in house.get("/subscriptions").body] == ["alice", "bob", "bob"]
    assert len(house.get("/clients?owner=alice").body) == 2  # and what the config wants


@pytest.mark.parametrize(("owner", "room"), [("alice", 60), ("bob", 30)])
def test_a_refusal_goes_by_the_owners_own_room_and_changes_nobodys(
    house: Served, owner: str, room: int
) -> None:
    before = house.get("/subscriptions").body
    own = sum(row["owner"] == owner for row in before)
    reply = house.subscribe(range(1000, 1100), owner=owner)
    assert reply.status == 409
    counts = [reply.body[name] for name in ("requested", "accepted", "available")]
    assert counts == [100, 0, room - own]
    reply = house.post("/pool/scale", {"connections": 7, "owner": owner})
    assert reply.status == 409 and reply.body["available"] == room // 10
    reply = house.post("/pool/drain", {"connection": 999})
    assert reply.status == 404
    assert house.get("/subscriptions").body == before


@pytest.mark.parametrize(
    ("owner", "text"),
    [({}, "name one with owner: alice, bob"), ({"owner": "carol"}, "expected one of alice, bob")],
)
def test_demand_of_nobody_is_refused(house: Served, owner: dict[str, str], text: str) -> None:
    reply = house.subscribe([1], **owner)
    assert reply.status == 422 and text in reply.body["detail"]
    reply = house.post("/pool/scale", {"connections": 1, **owner})
    assert reply.status == 422 and text in reply.body["detail"]


def test_accounts_have_their_owner(house: Served) -> None:
    path = "/advanced/websocket-pool/stats"
    accounts = house.get(path).body["accounts"]
    owners = {name: row["owner"] for name, row in accounts.items()}
    assert owners == {"a1": "alice", "b1": "bob", "a2": "alice"}
    assert list(house.get(f"{path}?owner=bob").body["accounts"]) == ["b1"]
    metrics = house.get("/metrics").body
    assert 'websocket_pool_account_info{account_id="b1",owner="bob"} 1.0' in metrics


# ---- a page of one owner's ------------------------------------------------------------------


@pytest.fixture(scope="module")
def connected(house: Served) -> dict[str, int]:
    """Both owners' connections, made as the supervisor makes them; numbers by account."""
    for owner, tokens in (("alice", [1, 2]), ("bob", [2, 3])):
        assert house.subscribe(tokens, client="page", owner=owner).status == 200
    outside = Outside(house.ground.paths)
    accounts = house.ground.config.accounts

    def owners() -> set[str]:
        return {accounts[row.account].owner for row in outside.read_topology()}

    wait_for(lambda: owners() == {"alice", "bob"}, "a connection for each")
    found = {}
    for row in outside.read_topology():
        house.ground.open(row.number, account=row.account, decoder=row.decoder)
        page = StatusPage(house.ground.attach(SegmentKind.FEED_STATUS, row.number))
        page.set_state(State.AUTH_EXPIRED, Reason.HTTP_STATUS)
        found[accounts[row.account].name] = row.number
    return found


def page(house: Served, path: str, cookie: dict[str, str]) -> Reply:
    return house.get(path, token=None, headers=cookie)


def state(house: Served, cookie: dict[str, str]) -> Any:
    """Return what a page shows, once every connection and its alert is in everybody's."""

    def are_seen() -> bool:
        rows = house.get("/screen/state").body
        alerts = {one["subject"] for one in rows["alerts"]["open"]}
        return {f"account {row['account']}" for row in rows["connections"]} == alerts != set()

    wait_for(are_seen, "all connections and their alerts")
    return page(house, "/screen/state", cookie).body


def test_a_page_of_an_owners_shows_his_part(house: Served, connected: dict[str, int]) -> None:
    cookie = enter(house, account="b1")
    found = state(house, cookie)
    assert found["owner"] == "bob"
    assert [row["number"] for row in found["connections"]] == [connected["b1"]]
    own = set(house.ground.config.decoders_of("bob"))
    assert {row["number"] for row in found["decoders"]} <= own
    assert list(found["pool"]["scores"]) in ([], [str(connected["b1"])])
    assert [account["name"] for account in found["pool"]["accounts"]] == ["b1"]
    assert found["pool"]["desired"] == 2
    assert {one["subject"] for one in found["alerts"]["open"]} == {"account b1"}
    text = str(found)
    assert "'a1'" not in text and "account a1" not in text and "alice" not in text


def test_a_page_of_a_plain_address_shows_everything(
    house: Served, connected: dict[str, int]
) -> None:
    cookie = enter(house)
    found = state(house, cookie)
    assert found["owner"] is None
    assert {row["number"] for row in found["connections"]} == set(connected.values())
    assert page(house, "/subscriptions", cookie).status == 200
    assert "alerts" in page(house, "/health", cookie).body


def test_health_is_that_of_ones_own(house: Served, connected: dict[str, int]) -> None:
    cookie = enter(house, account="b1")
    assert list(page(house, "/health", cookie).body) == ["status"]
    found = page(house, "/api/websocket/health", cookie).body
    assert found["trade_management_reason"] == "No connection to the broker"
    assert page(house, "/api/websocket/metrics", cookie).status == 403
    rows = page(house, "/api/websocket/subscriptions", cookie)
    assert rows.status == 404 or rows.body["count"] <= 2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/advanced/websocket-pool/stats", None),
        ("GET", "/advanced/websocket-pool/stats/b1", None),
        ("GET", "/alerts", None),
        ("GET", "/clients", None),
        ("GET", "/events", None),
        ("GET", "/metrics", None),
        ("GET", "/pool/distribution?owner=bob", None),
        ("GET", "/subscriptions?owner=alice", None),
        ("PUT", "/accounts/a1/token", {"access_token": "another"}),
        ("POST", "/pool/drain", {"connection": 0}),
        ("POST", "/subscriptions", {"client": "t", "instruments": [1], "owner": "alice"}),
    ],
)
def test_what_is_all_owners_takes_more(
    house: Served, connected: dict[str, int], method: str, path: str, body: Any
) -> None:
    cookie = enter(house, account="b1")
    csrf = page(house, "/auth/csrf-token", cookie).body["csrf_token"]
    headers = {**cookie, "X-CSRFToken": csrf}
    reply = house.call(method, path, token=None, body=body, headers=headers)
    assert reply.status == 403 and "one owner's part" in reply.body["detail"]
