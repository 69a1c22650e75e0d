"""Frozen frames and the dicts that they give: `tests/golden/kite_frames.json`.

The frames were made from documented field values, not captured. A change here is a change of what
users receive.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.brokers.kite import wire

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "kite_frames.json").read_text()
)


def _plain(value: datetime) -> str:
    return value.isoformat()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden_frame(case: dict[str, Any]) -> None:
    frame = bytes.fromhex(case["frame"])
    for ticks in (pipeline.decode_frame("kite", frame), wire.decode_frame(frame)):
        dicts = pipeline.to_kite_dicts(ticks, tz=UTC)
        assert json.loads(json.dumps(dicts, default=_plain)) == case["ticks"]
