"""The reader's own page and its name."""

from __future__ import annotations

import sys

import pytest

from pipeline.core.enums import Role, SegmentKind, State
from pipeline.core.errors import SegmentError
from pipeline.shm.segment import Segment
from pipeline.strategy.page import default_name, make_page
from tests.strategy.writer import FakeInstance


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("/x/My Strategy_1.py", "my-strategy-1"),
        ("-c", "strategy"),
        ("", "strategy"),
        ("-m", "strategy"),
        ("x" * 80 + ".py", "x" * 24),
    ],
)
def test_a_reader_is_called_after_its_script(
    monkeypatch: pytest.MonkeyPatch, script: str, name: str
) -> None:
    monkeypatch.setattr(sys, "argv", [script])
    assert default_name() == name


def test_a_page_says_who_reads(instance: FakeInstance) -> None:
    page = make_page(instance.paths, "alpha", instance.file.instance_id)
    found = Segment.attach(page.segment.path, SegmentKind.READER)
    assert found.instance_id == instance.file.instance_id
    head = found.record("ReaderC")["head"]
    assert (head["role"], head["state"], head["generation"]) == (Role.STRATEGY, State.LIVE, 1)


def test_a_process_has_a_hundred_readers_of_a_name_at_most(instance: FakeInstance) -> None:
    for _ in range(100):
        make_page(instance.paths, "alpha", instance.file.instance_id)
    with pytest.raises(SegmentError, match="close some"):
        make_page(instance.paths, "alpha", instance.file.instance_id)
