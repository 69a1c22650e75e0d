"""Texts into their rings, whatever they hold."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.enums import SegmentKind
from pipeline.feed.texts import TextRouter
from tests.feed.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, "ws://127.0.0.1:9")


def route(stage: Stage, *texts: bytes) -> None:
    parts = stage.link_parts()
    router = TextRouter(parts.session, parts.segments, parts.log, connection_epoch=3)
    for text in texts:
        router.take(text, 17, 18)


def test_orders_and_other_texts_part_ways(stage: Stage) -> None:
    order, other = b'{"type":"order","data":{}}', b'{"type":"instruments_meta","data":{}}'
    route(stage, order, other, order)
    assert stage.texts(SegmentKind.ORDERS) == [order, order]
    assert stage.texts(SegmentKind.TEXT) == [other]
    assert stage.counter("text_invalid") == 0


def test_an_error_of_the_server_is_counted_and_told(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        route(stage, b'{"type":"error","data":"' + b"x" * 1000 + b'"}')
    assert stage.counter("server_errors") == 1
    assert "the server says: 'xxx" in caplog.text
    assert len(caplog.messages[0]) < 300


def test_a_text_too_long_for_its_ring_is_counted(stage: Stage) -> None:
    route(stage, b'{"type":"app_code","x":"' + b"x" * 300_000 + b'"}')
    assert stage.counter("messages_dropped") == 1
    assert stage.texts(SegmentKind.TEXT) == []


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.one_of(st.binary(max_size=50), st.text(max_size=50).map(str.encode)))
def test_no_text_raises_and_every_text_is_counted(stage: Stage, text: bytes) -> None:
    names = ("orders_out", "text_out", "messages_own", "messages_dropped")
    before = sum(stage.counter(name) for name in names)
    route(stage, text)
    assert sum(stage.counter(name) for name in names) == before + 1
