"""What all benchmarks share: their size, their meter, and the report at the end."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.figures import Meter, Report

_REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the size."""
    parser.addoption("--tiny", action="store_true", help="only see that the benchmarks run")


def pytest_configure(config: pytest.Config) -> None:
    """Begin an empty report."""
    config.stash[_REPORT] = Report()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the report behind pytest-benchmark's own table."""
    lines = config.stash[_REPORT].lines()
    if lines:
        terminalreporter.section("figures; ratios are to the first line of each group")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def tiny(request: pytest.FixtureRequest) -> bool:
    """Whether this run only has to show that the benchmarks work."""
    return bool(request.config.getoption("--tiny"))


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """The report of this session."""
    return request.config.stash[_REPORT]


@pytest.fixture
def meter(benchmark: Any, report: Report, tiny: bool) -> Meter:
    """Times a function and adds it to the report."""
    return Meter(benchmark, report, rounds=2 if tiny else 25)
