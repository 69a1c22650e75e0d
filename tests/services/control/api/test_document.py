"""Whatever the OpenAPI document allows, and much that it does not: the API never fails inside.

schemathesis makes the requests from the document, of the right shape and of wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.services.control.api.openalgo.house import INFY, House
from tests.services.control.api.served import TIMEOUT_S

#: An endless answer; and its test is tests/system/test_control_api.py.
ENDLESS = "/events"
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

STATS = "/advanced/websocket-pool/stats"
NAMES: Any = {"symbol": "INFY", "exchange": "NSE"}
ITEMS: Any = {"symbols": [NAMES]}
DEMAND: Any = {"client": "t", "instruments": [1, "NSE:INFY"], "mode": "full"}
GOOD_REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/subscriptions", {"body": {**DEMAND, "partial": True}}),
    ("PUT", "/subscriptions/mode", {"body": DEMAND}),
    ("POST", "/pool/plan", {"body": {**DEMAND, "instruments": list(range(1, 20))}}),
    *(("GET", path, {}) for path in (
        STATS, "/advanced/rate-limit/stats",
        "/advanced/rate-limit/config", "/alerts", "/health", "/clients", "/subscriptions",
        "/windows", "/pool/distribution", "/api/websocket/config", "/api/websocket/health",
        "/api/websocket/status", "/api/websocket/subscriptions", "/api/websocket/trade-safe",
        "/api/websocket/metrics",
    )),
    ("GET", f"{STATS}/{{account_id}}", {"path_parameters": {"account_id": "a"}}),
    ("GET", "/api/websocket/market-data", {"query": NAMES}),
    ("POST", "/api/websocket/subscribe", {"body": ITEMS}),
    ("POST", "/api/websocket/unsubscribe", {"body": ITEMS}),
    ("POST", "/api/websocket/unsubscribe-all", {}),
    *(("POST", f"/api/v1/{name}", {"body": NAMES}) for name in ("quotes", "depth", "symbol")),
    ("POST", "/api/v1/multiquotes", {"body": ITEMS}),
    ("POST", "/api/v1/search", {"body": {"query": "NIFTY"}}),
    ("POST", "/api/v1/expiry", {"body": {"symbol": "NIFTY", "exchange": "NFO",
                                         "instrumenttype": "options"}}),
    ("POST", "/api/v1/intervals", {"body": {}}),
    ("POST", "/api/v1/ping", {"body": {}}),
    ("POST", "/pool/rebalance", {"body": {"dry_run": True}}),
    ("POST", "/pool/scale", {"body": {"connections": 1}}),
    ("DELETE", "/subscriptions", {"body": {"client": "t", "instruments": [1]}}),
]  # fmt: skip

quiet = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@contextmanager
def ready_house(folder: Path) -> Iterator[House]:
    house = House(folder)
    try:
        house.ready()
        yield house
    finally:
        house.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ready_house(tmp_path_factory.mktemp("document")) as house:
        yield house


@pytest.fixture
def tormented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One of its own: the made-up requests drain, scale and recycle what there is."""
    with ready_house(tmp_path_factory.mktemp("tormented")) as house:
        yield house


def _no_fault_found(served: House, examples: int) -> int:
    """Try so many requests for each operation and mode; return how many were made."""
    document = served.get("/openapi.json", token=None).body
    schema = schemathesis.openapi.from_dict(document)
    made = 0
    headers = {"Authorization": f"Bearer {served.token}"}

    def ask(case: Any) -> None:
        nonlocal made
        made += 1
        if isinstance(case.body, dict) and isinstance(case.body.get("apikey"), str):
            case.body["apikey"] = served.key  # so that what is behind it is tried, too
        base_url = f"http://127.0.0.1:{served.port}"
        response = case.call(base_url=base_url, headers=headers, timeout=TIMEOUT_S)
        assert response.status_code < 500, (case, response.status_code, response.text[:300])
        case.validate_response(response, checks=[response_schema_conformance])

    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == ENDLESS:
            continue
        for mode in MODES:
            strategy = operation.as_strategy(generation_mode=mode)
            settings(quiet, max_examples=examples)(given(case=strategy)(ask))()
    return made


def test_nothing_that_comes_makes_it_fail(tormented: House) -> None:
    assert _no_fault_found(tormented, 4) > 100
    assert tormented.get("/health").status == 200


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_nothing_that_comes_in_numbers_makes_it_fail(tormented: House) -> None:
    assert _no_fault_found(tormented, 300) > 5000
    assert tormented.get("/health").status == 200


def test_every_good_answer_is_described(served: House) -> None:
    document = served.get("/openapi.json", token=None).body
    for path, row in document["paths"].items():
        for method, operation in row.items():
            if path.startswith("/screen/") or path == "/api/v1/history":
                continue
            content = operation["responses"]["200"]["content"]
            assert all(kind["schema"] for kind in content.values()), (method, path)


def test_what_is_answered_is_what_is_described(served: House) -> None:
    """The made-up requests seldom get far; these do."""
    document = served.get("/openapi.json", token=None).body
    schema = schemathesis.openapi.from_dict(document)
    served.stream({INFY: {}})
    headers = {"Authorization": f"Bearer {served.token}"}
    base_url = f"http://127.0.0.1:{served.port}"
    for method, path, more in GOOD_REQUESTS:
        body = more.get("body")
        if body is not None and path.startswith("/api/v1/"):
            more = {"body": {"apikey": served.key, **body}}
        case = schema[path][method].Case(media_type="application/json", **more)
        response = case.call(base_url=base_url, headers=headers, timeout=TIMEOUT_S)
        assert response.status_code == 200, (method, path, response.text)
        case.validate_response(response, checks=[response_schema_conformance])
