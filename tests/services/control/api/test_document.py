"""Whatever the OpenAPI document allows, and much that it does not: the API never fails inside.

schemathesis makes the requests from the document, of the right shape and of wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from tests.services.control.api.openalgo.house import House
from tests.services.control.api.served import TIMEOUT_S

#: An endless answer; and its test is tests/system/test_control_api.py.
ENDLESS = "/events"
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

quiet = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("document"))
    try:
        house.ready()
        yield house
    finally:
        house.close()


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

    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == ENDLESS:
            continue
        for mode in MODES:
            strategy = operation.as_strategy(generation_mode=mode)
            settings(quiet, max_examples=examples)(given(case=strategy)(ask))()
    return made


def test_nothing_that_comes_makes_it_fail(served: House) -> None:
    assert _no_fault_found(served, 4) > 100
    assert served.get("/health").status == 200


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_nothing_that_comes_in_numbers_makes_it_fail(served: House) -> None:
    assert _no_fault_found(served, 300) > 5000
    assert served.get("/health").status == 200
