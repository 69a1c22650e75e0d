"""One browser for all tests of a process; a skip, to be seen, where there is none.

Which reasons `./check --full` lets pass is a list, and this one is not on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.screen.browser import Browser, NoBrowser
from tests.screen.stage import Stage


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser, which starts processes as it likes: no later test of this worker may see them."""
    try:
        found = Browser()
    except NoBrowser as missing:
        pytest.skip(str(missing))
    yield found
    found.close()


@pytest.fixture
def make_stage() -> Iterator[Callable[..., Stage]]:
    """Make stages, which are closed at the end."""
    made: list[Stage] = []

    def make(**options: Any) -> Stage:
        made.append(Stage(**options))
        return made[-1]

    yield make
    for stage in made:
        stage.close()
