"""Connections' rows."""

from __future__ import annotations

from pipeline.core.enums import Mode
from pipeline.services.control.links import Link, Row


def _link() -> Link:
    return Link(
        number=0, account="a", account_index=0, decoder=0, seat=0, capacity=10, opened_mono_ns=0,
        healthy_mono_ns=0, dirty=False,
    )  # fmt: skip


def test_only_a_change_makes_a_link_dirty() -> None:
    link = _link()
    link.take(1)
    assert not link.dirty
    row = Row(Mode.FULL, 0, 1)
    link.put(1, row)
    assert link.dirty
    link.dirty = False
    link.put(1, row)
    assert not link.dirty
    link.put(1, row._replace(mode=Mode.LTP))
    assert link.dirty
