"""R3 of the defects of pools before this one: a preset without output, a queue without end.

Every preset is run as users run it, `run --preset NAME`, under a file that says only what is
streamed from where.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.core.config import presets
from tests.system.rig import Run, wait_for

COUNT = 100
SUBSCRIPTION = f"[[subscription]]\nsimulated = {{ first = 0, count = {COUNT} }}\n"
#: What the largest preset takes, and room for what else is there.
ROOM_BYTES = 600 * 2**20
GROWTH_BYTES_MAX = 8 * 2**20


@pytest.fixture
def make(tmp_path: Path, shm_root: Path) -> Iterator[Callable[..., Run]]:
    """Return a maker of runs, on disk where shared memory is too small for every preset."""
    root = shm_root
    if shutil.disk_usage(shm_root).free < ROOM_BYTES:
        root = tmp_path / "shm"
        root.mkdir(mode=0o700)
    made: list[Run] = []

    def make(**options: object) -> Run:
        made.append(Run(tmp_path, root, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for run in made:
        run.close()


def memory_bytes(run: Run) -> int:
    """Return the memory of the data path's processes and the pool's that no file is behind.

    A ring that only its writer maps is private, too, by the kernel's count of one process's pages,
    and the first time round it fills; its size is planned and is no growth.
    """
    names = ("feed 0", "decoder 0", "control 0")
    memory = [psutil.Process(run.pid(name)).memory_info() for name in names]
    return sum(int(one.rss - one.shared) for one in memory)


@pytest.mark.parametrize(
    "seconds", [0.3, pytest.param(60.0, marks=pytest.mark.full)], ids=["short", "60 s"]
)
@pytest.mark.parametrize("name", presets.presets())
def test_r3_every_preset_delivers_and_memory_stays_flat(
    make: Callable[..., Run], name: str, seconds: float
) -> None:
    run = make(
        pool="", connections=1, count=COUNT, simulator='rate = "max"\ninterval_s = 0.02',
        rings="", more=SUBSCRIPTION,
    )  # fmt: skip
    run.start_and_wait("--preset", name)
    wait_for(lambda: run.numbers, "a connection")
    wait_for(lambda: run.is_complete(0), "every instrument to tick")
    wait_for(lambda: run.tick_tail(0) > 10 * COUNT, "ticks to flow")
    before, tail = memory_bytes(run), run.tick_tail(0)
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > end, "the time to pass", seconds=seconds + 10)
    wait_for(lambda: run.tick_tail(0) > tail + 10 * COUNT, "more ticks")
    assert memory_bytes(run) - before < GROWTH_BYTES_MAX
    assert run.stop() == 0
    run.assert_nothing_left()
