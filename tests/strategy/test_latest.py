"""The newest tick of each instrument: consistent, followed, and clear about what is not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pipeline
from pipeline.core.enums import Mode, SegmentKind
from pipeline.core.errors import CapacityError
from pipeline.shm.instance import InstanceView, ManifestEntry
from pipeline.shm.tables import assignment_rows
from pipeline.strategy.latest import LatestTables
from pipeline.strategy.market import Market
from tests.strategy.conftest import Make
from tests.strategy.writer import FakeInstance


def attach(instance: FakeInstance, **options: Any) -> Market:
    return pipeline.attach(instance.paths.name, shm_directory=instance.paths.root, **options)


def _tick(instance: FakeInstance, token: int, sequence: int) -> np.void:
    tick = instance.connections[0].lane.make_ticks(1, (token,))[0]
    tick["sequence"] = sequence
    return tick


def test_records_come_in_the_order_asked_for(instance: FakeInstance) -> None:
    instance.write_latest(0, _tick(instance, 408065, 7))
    instance.write_latest(0, _tick(instance, 408065, 9))
    with attach(instance) as market:
        found = market.latest([256265, 408065, 408065])
        assert found["instrument_token"].tolist() == [256265, 408065, 408065]
        assert found["sequence"].tolist() == [0, 9, 9]
        assert found["mode"].tolist()[0] == 0
        assert found.dtype == pipeline.tick_dtype
        assert len(market.latest([])) == 0
        assert market.latest(408065)["sequence"].tolist() == [9]
        assert market.tokens.tolist() == [256265, 408065]
        assert market.modes() == {256265: Mode.QUOTE, 408065: Mode.QUOTE}


def test_unassigned_tokens_name_the_config_key(instance: FakeInstance) -> None:
    with attach(instance) as market:
        with pytest.raises(CapacityError, match=r"738561.*\[\[subscription\]\] instruments"):
            market.latest([408065, 738561])
        with pytest.raises(CapacityError, match="and 5 more"):
            market.latest(range(10))
        for wrong in ([1.5], [-1], [2**40], [[1, 2]]):
            with pytest.raises(TypeError):
                market.latest(wrong)


def test_a_connection_that_goes_at_this_moment_is_passed_over(instance: FakeInstance) -> None:
    tables = LatestTables(instance.paths)
    manifest = InstanceView(instance.paths).read().manifest
    gone = ManifestEntry(SegmentKind.ASSIGNMENT, 77)  # listed when it was read, unlinked since
    tables.follow((*manifest, gone))
    assert tables.read([408065])["sequence"].tolist() == [0]


def test_new_assignments_and_connections_are_followed(instance: FakeInstance) -> None:
    with attach(instance) as market:
        assert len(market.latest([408065])) == 1
        rows = assignment_rows(np.array([256265, 779521]), np.array([1, 1]), first_slot=0)
        instance.connections[0].assignment.write(rows)
        assert market.latest([779521])["sequence"].tolist() == [0]
        assert market.modes() == {256265: Mode.LTP, 779521: Mode.LTP}
        with pytest.raises(CapacityError):
            market.latest([408065])
        instance.add_connection()
        assert len(market.latest([100_000 + 408065])) == 1


def test_a_slot_s_former_instrument_does_not_show(instance: FakeInstance) -> None:
    instance.write_latest(0, _tick(instance, 999, 5))
    with attach(instance) as market:
        found = market.latest([408065])[0]
        assert (int(found["instrument_token"]), int(found["sequence"])) == (408065, 0)


def test_an_instrument_on_two_connections_has_its_newest_owner_s_tick(make_instance: Make) -> None:
    instance = make_instance(connections=2)
    rows = assignment_rows(np.array([408065]), np.array([3]), first_slot=9)
    rows["owner_epoch"] = 2
    instance.connections[1].assignment.write(rows)
    instance.write_latest(0, _tick(instance, 408065, 1))
    instance.write_latest(9, _tick(instance, 408065, 2))
    with attach(instance) as market:
        assert market.latest([408065])["sequence"].tolist() == [2]
