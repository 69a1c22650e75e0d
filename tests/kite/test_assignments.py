"""The facade's tables: places, slots, the lease, and what does not fit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.enums import Mode, Role, SegmentKind
from pipeline.core.errors import CapacityError, InstanceError
from pipeline.kite.assignments import Assignments
from pipeline.shm import specs
from pipeline.shm.identity import start_time
from pipeline.shm.names import InstancePaths
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable

CAPACITY = 3


@pytest.fixture
def tables(shm_root: Path) -> Iterator[list[AssignmentTable]]:
    paths = InstancePaths("kite-1", shm_root)
    paths.make()
    made = []
    for number in range(2):
        path = paths.segment(SegmentKind.ASSIGNMENT, number)
        spec = specs.assignment(number, capacity=CAPACITY)
        made.append(AssignmentTable(Segment.create(path, spec, instance_id=bytes(16))))
    yield made
    for table in made:
        table.segment.path.unlink()


@pytest.fixture
def assignments(tables: list[AssignmentTable], shm_root: Path) -> Assignments:
    return Assignments(InstancePaths("kite-1", shm_root), len(tables))


def slots(tables: list[AssignmentTable]) -> dict[int, int]:
    rows = [row for table in tables for row in table.read()[1]]
    return {int(row["instrument_token"]): int(row["slot"]) for row in rows}


def test_the_header_names_the_facade_as_the_writer(
    assignments: Assignments, tables: list[AssignmentTable]
) -> None:
    assert all(int(table.segment.header["writer_role"]) == Role.FACADE for table in tables)


def test_instruments_are_spread_and_keep_their_places(
    assignments: Assignments, tables: list[AssignmentTable]
) -> None:
    assignments.write(dict.fromkeys([1, 2, 3, 4], Mode.QUOTE))
    assert [len(table.read()[1]) for table in tables] == [2, 2]
    before = slots(tables)
    assert sorted(before.values()) == [0, 1, CAPACITY, CAPACITY + 1]
    assignments.write({1: Mode.FULL, 2: Mode.QUOTE, 4: Mode.LTP, 5: Mode.QUOTE})
    after = slots(tables)
    assert {token: after[token] for token in (1, 2, 4)} == {t: before[t] for t in (1, 2, 4)}
    assert before[3] not in after.values(), "a slot that was given back comes last"
    modes = {t: mode for table in tables for t, mode in table.read_modes()[1].items()}
    assert modes[1] is Mode.FULL and modes[4] is Mode.LTP


def test_a_table_that_says_it_already_is_not_written(
    assignments: Assignments, tables: list[AssignmentTable]
) -> None:
    assignments.write({1: Mode.QUOTE})
    versions = [table.version for table in tables]
    assignments.write({1: Mode.QUOTE})
    assert [table.version for table in tables] == versions


def test_too_many_change_nothing(assignments: Assignments, tables: list[AssignmentTable]) -> None:
    full = dict.fromkeys(range(1, 7), Mode.QUOTE)
    assignments.write(full)
    with pytest.raises(CapacityError, match="7 instruments, and 2 connections carry 6"):
        assignments.write(full | {7: Mode.QUOTE})
    assert sorted(slots(tables)) == list(range(1, 7))


def test_there_is_no_second_writer(tables: list[AssignmentTable], shm_root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        header = tables[1].segment.header
        header["writer_pid"], header["writer_start_time"] = other.pid, start_time(other.pid)
        header["writer_role"] = Role.SUPERVISOR
        with pytest.raises(InstanceError, match=rf"process {other.pid} \(supervisor\)"):
            Assignments(InstancePaths("kite-1", shm_root), 2)
        other.kill()
    Assignments(InstancePaths("kite-1", shm_root), 2)
