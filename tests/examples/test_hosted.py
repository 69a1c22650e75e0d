"""The hosted example runs against its own exchange, and its config is in order."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.services.status import snapshot
from pipeline.shm.names import InstancePaths
from pipeline.supervisor.launch import launch
from tests.system.rig import wait_for

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "hosted"


def test_the_example_runs_as_its_first_lines_say(tmp_path: Path, shm_root: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "hosted")
    config = tmp_path / "hosted" / "averages.toml"
    text = config.read_text().replace("[instance]", f'[instance]\nshm_directory = "{shm_root}"')
    config.write_text(text)
    paths = InstancePaths("averages", shm_root)

    def has_averaged() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        if not paths.instance_file.exists():
            return False
        found = snapshot(paths).strategies
        return bool(found) and found[0].ticks > 6000

    with (tmp_path / "log").open("wb") as log:
        process = launch(["-m", "pipeline", "run", "--config", str(config)], stderr=log)
        try:
            wait_for(has_averaged, "the example to have averaged")
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait(60)
    said = (tmp_path / "log").read_text()
    for words in ("averages of 300 instruments", "from its average", "stopped after"):
        assert f"[strategy moving-average] {words}" in said or words in said


def test_the_average_is_an_exponential_one() -> None:
    example = _load()
    it = example(window=3, report_every=100)

    class Market:
        tokens = np.array([5, 9], np.uint32)

    it.on_start(Market())
    ticks = np.zeros(2, [("instrument_token", "u4"), ("last_price", "f8")])
    ticks["instrument_token"] = [9, 5]
    for prices in ([10.0, 1.0], [20.0, 1.0]):
        ticks["last_price"] = prices
        it.on_ticks(ticks)
    assert it.average.tolist() == [1.0, 15.0]
    assert it.seen == 4


def _load() -> Callable[..., object]:
    spec = importlib.util.spec_from_file_location("hosted_example", FOLDER / "moving_average.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MovingAverage  # type: ignore[no-any-return]
