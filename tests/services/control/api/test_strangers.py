"""A control process behind a proxy: what one stranger does is his alone to bear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.config import GatewayConfig
from tests.services.control.api.served import SECTION, Reply, Served
from tests.services.control.api.test_entrance import ticket

BAN = GatewayConfig().key_failures_ban
ATTACKER, OTHER = "203.0.113.7", "2001:db8:1:2::3"


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path, SECTION + 'trusted_proxies = ["127.0.0.1"]\n')
    try:
        yield served.ready()
    finally:
        served.close()


def ping(served: Served, address: str) -> Reply:
    """Ask with a wrong key, as that address; what stands before it in the header is its claim."""
    headers = {"X-Forwarded-For": f"127.0.0.1, {address}"}
    return served.post("/api/v1/ping", {"apikey": "wrong"}, token=None, headers=headers)


def enter(served: Served, address: str, text: str) -> Reply:
    headers = {"X-Forwarded-For": address}
    return served.post("/auth/session", {"ticket": text}, token=None, headers=headers)


def test_an_attacker_shuts_himself_out_and_nobody_else(behind: Served) -> None:
    assert [ping(behind, ATTACKER).status for _ in range(BAN)] == [403] * BAN
    banned = ping(behind, ATTACKER)
    assert banned.status == 429 and "wrong keys" in banned.body["message"]
    assert 0 < int(banned.headers["retry-after"]) <= GatewayConfig().ban_s
    good = ticket(behind)
    assert enter(behind, ATTACKER, good).status == 429, "there, too, and not even with a good one"
    assert ping(behind, OTHER).status == 403
    assert enter(behind, OTHER, good).status == 200
    assert behind.get("/alerts", headers={"X-Forwarded-For": ATTACKER}).status == 200
