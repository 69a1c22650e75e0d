"""One control process for all tests of a file; each test takes clients of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.control.api.served import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("api"))
    try:
        yield served.ready()
    finally:
        served.close()
