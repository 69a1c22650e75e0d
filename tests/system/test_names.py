"""`run` with instruments by name: they stream, and unknown ones end the start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pipeline
from pipeline.cli import main
from pipeline.core.enums import Mode
from tests.system.rig import DEADLINE_S, Run, wait_for

Make = Callable[..., Run]
TOKENS = "simulated = { first = 0, count = 100 }"
NAMES = '["NSE:INFY", 256265, "BSE_INDEX:SENSEX", "NFO:NIFTY@weekly:atm+-2", "NFO:NIFTY@fut"]'


def named(run: Run, names: str, folder: Path) -> None:
    """Make the run's config name its instruments, with a list beside it."""
    text = run.config.read_text().replace(TOKENS, f"instruments = {names}")
    text = text.replace("instruments = 100\n", "instruments = 9000\n")
    run.config.write_text(f'{text}\n[instruments]\nfile = "list.sqlite"\n')
    line = ["instruments", "sync", "--simulated", "--file", str(folder / "list.sqlite")]
    assert main.run([*line, "--rows", "9000"]) == 0


def test_instruments_by_name_stream(make_run: Make, tmp_path: Path) -> None:
    run = make_run(connections=1)
    named(run, NAMES, tmp_path)
    run.start()
    options = {"shm_directory": run.paths.root, "instruments_file": tmp_path / "list.sqlite"}
    with pipeline.attach(run.paths.name, wait_s=30.0, **options) as market:
        names = ["NSE:#1594", "NSE_INDEX:NIFTY", "BSE:SENSEX", "NFO:NIFTY@weekly:24600+-2"]
        wait_for(lambda: market.latest(names)["sequence"].all(), "a tick of each")
        found = market.latest([*names, "NFO:NIFTY@fut:near"])
        assert len(found) == 3 + 5 * 2 + 1 == len(market.tokens)
        assert set(market.modes().values()) == {Mode.FULL}
    assert run.stop() == 0
    run.assert_nothing_left()


def test_unknown_names_end_the_start_with_78(make_run: Make, tmp_path: Path) -> None:
    run = make_run(connections=1)
    named(run, '["NSE:INFI", "NSE:INFY", "NFO:NIFTI@weekly:atm"]', tmp_path)
    run.start()
    assert run.process is not None and run.process.wait(DEADLINE_S) == 78
    text = run.log.read_text()
    assert "'NSE:INFI', not in the list of" in text and "did you mean NSE:INFY" in text
    assert "no options of NIFTI on NFO" in text and "NFO:NIFTY" in text
    run.assert_nothing_left()
