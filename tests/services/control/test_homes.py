"""Accounts of instruments, kept in a file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipeline.core.enums import Mode
from pipeline.services.control.homes import Homes
from tests.services.control.world import Rig, pool_config


def test_what_is_saved_is_read_by_the_next_one_of_that_name(tmp_path: Path) -> None:
    file = tmp_path / "state" / "homes.sqlite"
    assert Homes(file, "one").read() == {} and not file.exists()
    homes = Homes(file, "one")
    homes.save({1: "a", 2: "b"})
    homes.save({2: "a", 3: "b"})
    Homes(file, "two").save({9: "a"})
    assert Homes(file, "one").read() == {2: "a", 3: "b"}
    assert Homes(file, "two").read() == {9: "a"}
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be one" * 30])
def test_a_broken_file_is_told_once_and_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file = tmp_path / "homes.sqlite"
    file.write_bytes(content)
    homes = Homes(file, "one")
    with caplog.at_level(logging.WARNING):
        assert homes.read() == {}
        homes.save({1: "a"})
        homes.save({1: "b"})
    told = [r for r in caplog.records if "homes.sqlite" in r.getMessage()]
    assert len(told) == (1 if content else 0)


def test_a_restart_gives_every_instrument_its_account_again() -> None:
    config = pool_config(keys=2, pool="instruments_per_connection = 100")
    first = Rig(config)
    first.want("a", range(1, 101), Mode.LTP)
    first.turn()
    assert set(first.pool.homes.values()) == {"a", "b"}
    again = Rig(config)
    again.pool.homes = dict(first.pool.homes)
    again.want("a", reversed(range(1, 101)), Mode.LTP)
    again.turn()
    assert again.pool.homes == first.pool.homes
    first.pool.ledger.remove("a", [1])
    first.turn()
    assert 1 in first.pool.homes  # for the next time
