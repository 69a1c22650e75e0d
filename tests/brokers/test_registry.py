"""Each broker folder is registered and complete."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import pipeline.brokers
from pipeline.brokers.contract import Limits
from pipeline.brokers.registry import BROKERS, decode_frame, load_broker
from tests.brokers import kite_frames as make

FOLDER = Path(pipeline.brokers.__file__).parent


def test_folders_and_registry_agree() -> None:
    folders = {path.name for path in FOLDER.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(BROKERS)


@pytest.mark.parametrize("name", BROKERS)
def test_each_broker_is_complete(name: str) -> None:
    for module in ("wire", "session", "symbols", "limits"):
        assert (FOLDER / name / f"{module}.py").exists()
    broker = load_broker(name)
    assert broker.name == name == broker.code.name.lower()
    assert broker.endpoint.startswith("wss://")


@pytest.mark.parametrize("name", BROKERS)
def test_each_limit_has_its_source(name: str) -> None:
    names = {field.name for field in dataclasses.fields(Limits)} - {"sources"}
    assert set(load_broker(name).limits.sources) == names


def test_unknown_broker_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'zerodha' is unknown; known: kite"):
        decode_frame("zerodha", b"")


def test_stamps_reach_the_records() -> None:
    ticks = decode_frame("kite", make.frame(make.ltp()), receive_ts_ns=5)
    assert ticks["receive_ts_ns"].tolist() == [5]
