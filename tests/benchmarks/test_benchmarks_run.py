"""Every benchmark runs, in its tiny size: what is not run rots."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.supervisor.launch import launch, wait_or_kill

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "benchmarks").glob("bench_*.py"))


def run_tiny(folder: Path) -> list[dict[str, Any]]:
    """Return the benchmarks of all files, as pytest-benchmark has recorded them."""
    found = folder / "found.json"
    line = ["-m", "pytest", *map(str, FILES), "-q", "--tiny", "--benchmark-enable"]
    process = launch(
        [*line, f"--benchmark-json={found}", "-p", "no:cacheprovider", "--rootdir", str(ROOT)],
        # Measuring beside other tests is refused; here nothing is measured.
        environment={"PYTEST_XDIST_WORKER": "", "PYTEST_XDIST_TESTRUNUID": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        output = process.stdout.read() if process.stdout else b""
        assert wait_or_kill(process, 280) == 0, output.decode()[-4000:]
    benchmarks: list[dict[str, Any]] = json.loads(found.read_text())["benchmarks"]
    return benchmarks


@pytest.mark.timeout(300)
def test_every_benchmark_runs(tmp_path: Path) -> None:
    found = run_tiny(tmp_path)
    assert {one["fullname"].split("::")[0] for one in found} == {
        str(path.relative_to(ROOT)) for path in FILES
    }
    for one in found:
        assert one["extra_info"]["best"] > 0, one["name"]


def test_every_benchmark_shows_its_topology_and_says_what_a_regression_means() -> None:
    assert FILES
    for path in FILES:
        head = path.read_text().split('"""')[1]
        assert "->" in head, path.name
        assert "regression here" in head, path.name
