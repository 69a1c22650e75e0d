"""What happened over a window of looks: of that time, and of nothing before it."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipeline
from pipeline.core.errors import InstanceNotFound
from pipeline.services.status.recent import NOTHING, Looks, take_look
from pipeline.shm.names import InstancePaths
from tests.services.status.establish import Established

MS = 1_000_000


def test_latencies_are_those_of_the_window(established: Established) -> None:
    looks = Looks()
    established.decoder.histogram("receive_to_publish").record(90 * MS)
    assert looks.add(take_look(established.paths)) == NOTHING
    for _ in range(10):
        established.decoder.histogram("receive_to_publish").record(2 * MS)
    found = looks.add(take_look(established.paths)).published[0]
    assert found.samples == 10
    assert 2 * MS <= found.p999_ns <= 2 * MS * 1.02  # the 90 ms were before
    again = looks.add(take_look(established.paths))
    assert again.published[0].samples == 10, "it goes on being in the window"


def test_a_look_leaves_the_window_when_enough_have_come(established: Established) -> None:
    looks = Looks(looks=2)
    looks.add(take_look(established.paths))
    established.decoder.histogram("receive_to_publish").record(2 * MS)
    assert looks.add(take_look(established.paths)).published[0].samples == 1
    assert looks.add(take_look(established.paths)).published[0].samples == 0


def test_readers_have_latencies_of_their_own(established: Established) -> None:
    with pipeline.attach("whole", shm_directory=established.paths.root, name="a") as market:
        looks = Looks()
        looks.add(take_look(established.paths))
        established.lanes[0].write_ticks(100)
        next(market.batches(timeout_s=10))
        found = looks.add(take_look(established.paths))
    [(name, _)] = found.delivered
    assert name == "a" and found.rates.delivered.keys() == found.delivered.keys()
    assert sum(latency.samples for latency in found.delivered.values()) > 0


def test_another_instance_begins_a_new_window(established: Established, tmp_path: Path) -> None:
    looks = Looks()
    looks.add(take_look(established.paths))
    other = Established("other", tmp_path)
    other.fill()
    assert looks.add(take_look(other.paths)) == NOTHING
    other.end()


def test_nothing_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InstanceNotFound):
        take_look(InstancePaths("none", tmp_path))
