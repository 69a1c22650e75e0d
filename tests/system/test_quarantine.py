"""A frame that kills two decoders in a row is put aside, announced and skipped; nothing else is.

On the checked build the decoder dies by SIGSEGV, twice at the same frame, as a real poison frame
would make it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import numpy as np
import pytest

import pipeline
from pipeline.sim.truth import read_truth
from pipeline.sim.verify import gap_dtype, verify
from tests.builds import build_root
from tests.system.judge import Witness, run_dry
from tests.system.rig import Run, wait_for

Make = Callable[..., Run]

LOAD = 'rate = "max"\ninterval_s = 0.01'
RINGS = "packets_per_instrument_per_s = 100.0\ntick_records = 65536"
#: The first at some frame, the second at the first that its successor looks at: the same one.
DEATHS = f"unit_after_oldest 7 {signal.SIGSEGV:d}\nunit_after_oldest 1 {signal.SIGSEGV:d}"


@pytest.mark.timeout(180)
def test_a_poison_frame_is_skipped_and_announced(make_run: Make) -> None:
    run = make_run(
        connections=1, build=build_root("checked"), simulator=LOAD, rings=RINGS,
    ).start_and_wait()  # fmt: skip
    witness = Witness(run)
    (run.paths.directory / "crash").write_text(DEATHS)
    run.kill("decoder 0")
    wait_for(lambda: witness.told("Quarantine"), "the quarantine to be announced")
    (kept,) = run.paths.quarantine.glob("*.frame")
    frame = kept.read_bytes()
    run_dry(run, witness)
    assert run.stop() == 0
    witness.finish()
    (told,) = witness.told("Quarantine")
    assert kept.name == f"c0-{told['source_sequence']}.frame"
    packets = len(pipeline.decode_frame("kite", frame))
    assert packets > 0
    span = (0, told["start_ts_ns"], told["start_ts_ns"], False, 0)
    rows, truth = witness.rows(), np.array(read_truth(run.folder / "truth.bin"))
    verdict = verify(truth, rows, np.array([span], gap_dtype))
    assert verdict.passed, verdict
    assert verdict.lost == packets
    assert witness.told("Gap") == [] and witness.told("Overrun") == []
    run.assert_nothing_left()
