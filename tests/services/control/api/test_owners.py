"""Two owners over HTTP: whose a request is stands in it, and has to, for demand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.control.api.served import SECTION, Served
from tests.services.control.owners import owners_config

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
