"""What the instrument list costs: loading it, looking one up, a window, near names.

    instruments.sqlite -> load -> catalogue -> token("NSE:INFY"), resolve(window), near(typo)

A regression here delays the start of an instance that is configured by names, and each call that
is made with names. Nothing of it is on the data path.

The list has 110,000 rows, as the broker's has, or 9,000 in the tiny size. Lookups go over names in
a mixed order, so that the caches see what a program with many instruments sees.
"""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path

import psutil
import pytest

from benchmarks.figures import CPU_TIME, Meter, Report
from pipeline.instruments import Catalogue, load, write_store
from pipeline.instruments.synthetic import LISTED, ROWS, synthetic_instruments

pytestmark = CPU_TIME
DAY = date(2026, 1, 5)
LOOKUPS = 20_000
LOOKUP_GROUP = "instruments: a lookup"
MIB = 2**20


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, tiny: bool) -> Path:
    path = tmp_path_factory.mktemp("instruments") / "list.sqlite"
    rows = synthetic_instruments(DAY, rows=LISTED if tiny else ROWS)
    write_store(rows, file=path, source="simulated", day=DAY)
    return path


@pytest.fixture(scope="module")
def catalogue(file: Path) -> Catalogue:
    return load(file)


def test_load(meter: Meter, report: Report, file: Path) -> None:
    before = psutil.Process().memory_info().rss
    kept = load(file)
    grown = (psutil.Process().memory_info().rss - before) / MIB
    report.remarks.append(f"instruments: {len(kept):,} rows take {grown:.0f} MiB of memory")
    meter.rounds = min(meter.rounds, 10)
    meter.measure(
        lambda: load(file), units=1_000_000, case=f"load {len(kept):,} rows",
        group="instruments: from the file into memory", unit="ms",
    )  # fmt: skip


@pytest.mark.parametrize("form", ["name", "OpenAlgo", "token", "digits", "exchange number"])
def test_lookup(meter: Meter, catalogue: Catalogue, form: str) -> None:
    chosen = random.Random(1).choices(list(catalogue), k=LOOKUPS)
    forms: list[str | int] = {
        "name": [row.key for row in chosen],
        "OpenAlgo": [catalogue.openalgo_key(row) for row in chosen],
        "token": [row.instrument_token for row in chosen],
        "digits": [str(row.instrument_token) for row in chosen],
        "exchange number": [f"{row.exchange}:#{row.exchange_token}" for row in chosen
                            if not row.is_index],
    }[form]  # fmt: skip
    token = catalogue.token

    def look() -> None:
        for name in forms:
            token(name)

    meter.measure(look, units=len(forms), case=f"by {form}", group=LOOKUP_GROUP)


def test_window(meter: Meter, catalogue: Catalogue) -> None:
    form = "NFO:NIFTY@weekly*3:atm+-10:CE,PE"
    spot = {256265: 24_633.0}.get

    def expand() -> None:
        for _ in range(20):
            assert len(catalogue.resolve([form], spot=spot, today=DAY).tokens) == 126

    meter.measure(
        expand, units=20_000, case="3 expiries, 21 strikes, both sides",
        group="instruments: a window of options", unit="us",
    )  # fmt: skip


def test_near(meter: Meter, catalogue: Catalogue) -> None:
    assert "NSE:RELIANCE" in catalogue.near("NSE:RELAINCE")

    def look() -> None:
        catalogue.near("NSE:RELAINCE")
        catalogue.near("NFO:NIFTY26JAN2460CE")

    meter.measure(
        look, units=2_000_000, case="a share, and an option of the largest exchange",
        group="instruments: names near an unknown one", unit="ms",
    )  # fmt: skip
