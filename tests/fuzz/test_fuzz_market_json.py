"""Random records and doubles through the message encoder under ASan and UBSan."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.fuzz.test_fuzz_decode_kite import BOTH, build, run

SEED = 20_260_131
FIELDS_MAX = 4096  # what the header promises a record's fields to stay below


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: install one to mutate frames (apt-get install gcc)")
    binary = tmp_path_factory.mktemp("market") / "random_market_json"
    built = build(compiler, "random_market_json.c", binary, f"-fsanitize={BOTH}")
    assert built.returncode == 0, built.stderr
    return binary


def encode(program: Path, *, records: int, seed: int, timeout_s: float) -> None:
    print(f"seed {seed}")
    text = run([program, str(seed), str(records)], timeout_s)
    counts = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", text)}
    assert counts["records"] == records
    assert FIELDS_MAX / 2 < counts["longest_fields"] < FIELDS_MAX
    assert 0 < counts["left_out"] < 4 * records


def test_random_records(program: Path) -> None:
    encode(program, records=20_000, seed=SEED, timeout_s=100)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_million_random_records(program: Path) -> None:
    encode(program, records=1_000_000, seed=SEED + 1, timeout_s=880)
