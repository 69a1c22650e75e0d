"""Every code of the layout has its Python twin, with the same number."""

from __future__ import annotations

from enum import IntEnum

import pytest

from ext import layout
from pipeline.core import enums

TWINS: list[tuple[type[IntEnum], str, str]] = [
    (enums.State, "ConnectionState", "STATE_"),
    (enums.Reason, "Reason", "REASON_"),
    (enums.HostPhase, "HostPhase", "PHASE_"),
    (enums.Mode, "Mode", "MODE_"),
    (enums.Broker, "Broker", "BROKER_"),
    (enums.SegmentKind, "SegmentKind", "SEGMENT_"),
    (enums.Role, "Role", "ROLE_"),
    (enums.InstanceState, "InstanceState", "INSTANCE_"),
    (enums.FrameKind, "FrameKind", "FRAME_"),
    (enums.EventKind, "EventKind", "EVENT_"),
    (enums.TickFlag, "TickFlag", "FLAG_"),
]


@pytest.mark.parametrize(("ours", "name", "prefix"), TWINS)
def test_members_equal_the_layout(ours: type[IntEnum], name: str, prefix: str) -> None:
    theirs = {m.name.removeprefix(prefix): int(m) for m in getattr(layout, name)}
    assert {m.name: int(m) for m in ours} == theirs


def test_every_enum_of_the_layout_has_a_twin() -> None:
    found = {
        n for n in dir(layout) if isinstance(getattr(layout, n), type) and not n.startswith("_")
    }
    assert found == {name for _, name, _ in TWINS}


def test_flags_combine() -> None:
    both = enums.TickFlag.CROSSED | enums.TickFlag.JUMP
    assert enums.TickFlag.JUMP in both
    assert enums.TickFlag.TRADABLE not in both
