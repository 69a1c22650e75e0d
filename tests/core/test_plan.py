"""What follows from a config."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import Config, load, parse
from pipeline.core.enums import Mode
from pipeline.core.plan import plan_topology

ROOT = Path(__file__).parents[2]
LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
HEAD = """
[simulator]
[[account]]
name = "a"
url = "simulator"
api_key = "demo"
[[account]]
name = "b"
url = "simulator"
api_key = "demo"
"""


def _sim() -> Config:
    return load(ROOT / "examples" / "config" / "sim.toml", limits=LIMITS)


def test_example_has_nine_thousand_instruments_in_three_modes() -> None:
    connections, decoders, *_ = plan_topology(_sim())
    assert [len(c.wanted) for c in connections] == [3000, 3000, 3000]
    assert [c.wanted[0].mode for c in connections] == [Mode.FULL, Mode.QUOTE, Mode.LTP]
    assert [d.slots for d in decoders] == [9000]
    assert decoders[0].connections == (0, 1, 2)


def test_slots_of_a_decoder_are_unique_and_dense() -> None:
    connections = plan_topology(_sim()).connections
    slots = [row.slot for c in connections for row in c.wanted]
    assert slots == list(range(9000))


def test_default_sizes() -> None:
    plan = plan_topology(_sim()).connections[0]
    assert plan.frame_records == 24_000
    assert 24_000 * 192 <= plan.frame_bytes < 24_000 * 192 + 4096
    assert plan.tick_records == 16_384


def test_small_connection_still_takes_its_largest_frame() -> None:
    text = HEAD + '[[connection]]\naccount = "a"\ninstruments_max = 200\n'
    text += "[rings]\nseconds = 0.1\npackets_per_instrument_per_s = 0.1\n"
    plan = plan_topology(parse(text, limits=LIMITS)).connections[0]
    assert plan.frame_bytes // 4 >= 2 + 186 * 200
    assert plan.frame_records == 1024


def test_connections_override_the_rings_and_share_the_page_of_a_key() -> None:
    text = HEAD + '[decoder]\ncount = 2\n[[connection]]\naccount = "a"\n'
    text += '[[connection]]\naccount = "b"\ndecoder = 1\ninstruments_max = 10\n'
    text += "tick_records = 2048\nframe_bytes = 1000000\n"
    first, second = plan_topology(parse(text, limits=LIMITS)).connections
    assert first.account_number == second.account_number == 0
    assert (second.tick_records, second.frame_bytes) == (2048, 1_003_520)
    assert second.first_slot == 0
