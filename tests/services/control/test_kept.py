"""What of a pool is in no table: a file that a successor reads, and that may be broken."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipeline.core.enums import Mode
from pipeline.planning.pool import Priority, Want
from pipeline.services.control.kept import Kept, KeptFile
from pipeline.services.control.upkeep import CannotBeDone
from tests.services.control.owners import Realm, owners_config
from tests.services.control.world import Rig, pool_config

ADRIFT = {1: Want(1, Mode.FULL, Priority.HOT, "pair", "main", 3), 2: Want(2, Mode.LTP)}


def test_a_successor_reads_what_was_kept(tmp_path: Path) -> None:
    file = tmp_path / "pool.json"
    assert KeptFile(file).read() == Kept() and not file.exists()
    kept = KeptFile(file)
    kept.read()
    kept.write(Kept())
    assert not file.exists()  # nothing to say
    kept.write(Kept(3, ADRIFT))
    assert file.stat().st_mode & 0o777 == 0o600
    assert KeptFile(file).read() == Kept(3, ADRIFT)
    written = file.stat().st_mtime_ns, file.stat().st_ino
    kept.write(Kept(3, dict(ADRIFT)))
    assert written == (file.stat().st_mtime_ns, file.stat().st_ino)
    kept.write(Kept(None, ADRIFT, {408065: 3}))
    assert KeptFile(file).read() == Kept(None, ADRIFT, {408065: 3})
    kept.write(Kept(None, ADRIFT, {}, {1: 2**62}))
    assert KeptFile(file).read() == Kept(None, ADRIFT, {}, {1: 2**62})
    kept.write(Kept())
    assert KeptFile(file).read() == Kept()
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_kept_does_not_change_with_what_was_given(tmp_path: Path) -> None:
    wants = dict(ADRIFT)
    kept = KeptFile(tmp_path / "pool.json")
    kept.write(Kept(None, wants))
    del wants[1]
    kept.write(Kept(None, wants))
    assert KeptFile(tmp_path / "pool.json").read().adrift.keys() == {2}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b'{"connections": -1.5, "adrift": []}', b'{"adrift": [[1, 99]]}'],
)
def test_a_broken_file_is_told_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "pool.json").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert KeptFile(tmp_path / "pool.json").read() == Kept()
    assert "pool.json: cannot be read" in caplog.text


def test_a_file_that_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = KeptFile(tmp_path / "nowhere" / "pool.json")
    with caplog.at_level(logging.WARNING):
        kept.write(Kept(1))
        kept.write(Kept(2))
    assert caplog.text.count("cannot be written") == 1


def test_how_many_connections_were_asked_for_outlives_the_process() -> None:
    config = pool_config(pool="instruments_per_connection = 100\nshrink_after_s = 2.0")
    rig = Rig(config)
    rig.want("a", range(1, 31))
    rig.turn()
    rig.pool.upkeep.scale(3, rig.world.now_ns)
    rig.turn(3.0)
    again = Rig(config, rig.world)
    assert again.pool.upkeep.asked == 3
    again.want("a", range(1, 31))
    again.turn(70.0)
    assert len(again.counts()) == 3
    again.pool.upkeep.ask_for(None)
    again.turn(10.0)
    third = Rig(config, again.world)
    assert third.pool.upkeep.asked is None and len(third.counts()) == 1


def test_a_number_that_was_refused_is_not_kept() -> None:
    config = pool_config(pool="instruments_per_connection = 100")
    rig = Rig(config)
    with pytest.raises(CannotBeDone) as caught:
        rig.pool.upkeep.scale(4, rig.world.now_ns)
    assert (caught.value.requested, caught.value.available) == (4, 3)
    rig.turn()
    assert Rig(config, rig.world).pool.upkeep.asked is None


def test_what_waits_costs_nothing_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(pool_config(pool="instruments_per_connection = 10\nheadroom = 0.0"))
    rig.want("a", range(1, 41))
    rig.turn(3.0)
    asked: list[Kept] = []
    monkeypatch.setattr(rig.world, "keep", lambda owner, kept: asked.append(kept))
    rig.turn(5.0)
    assert len(rig.pool.unplaced) == 10 and asked == []
    rig.pool.ledger.remove("a", [next(iter(rig.pool.unplaced))])
    rig.turn()
    assert [len(kept.adrift) for kept in asked] == [9]


def test_each_owner_has_his_own() -> None:
    realm = Realm(owners_config("instruments_per_connection = 2\nconnections_per_key = 1"))
    realm.pools["alice"].upkeep.scale(2, realm.world.now_ns)
    realm.want("bob", range(1, 5))
    realm.turn()
    realm.restart()
    assert realm.pools["alice"].upkeep.asked == 2 and realm.pools["bob"].upkeep.asked is None
    assert realm.pools["bob"].ledger.desired.keys() == {1, 2, 3, 4}
    assert len(realm.pools["bob"].unplaced) == 2 and not realm.pools["alice"].unplaced


def test_what_had_no_room_is_wanted_still_and_for_so_long() -> None:
    config = pool_config(pool="instruments_per_connection = 10\nheadroom = 0.0\nlinger_s = 0")
    rig = Rig(config)
    rig.want("a", range(1, 41))
    rig.turn()
    again = Rig(config, rig.world)
    assert len(again.pool.unplaced) == 10
    again.want("a", range(1, 36))  # its client has come back, with less
    again.turn(2.0)
    assert again.pool.ledger.desired.keys() == set(range(1, 41))
    again.turn(60.0)
    assert again.pool.ledger.desired.keys() == set(range(1, 36)) and len(again.pool.unplaced) == 5
    again.check()
