"""Whose connections are: what the supervisor wrote, and nothing where it wrote nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.enums import Broker, SegmentKind
from pipeline.shm import specs
from pipeline.shm.instance import ManifestEntry
from pipeline.shm.names import InstancePaths
from pipeline.shm.owners import NOBODY, Holder, Holders, owners_of
from pipeline.shm.segment import Segment, SegmentSpec


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[InstancePaths]:
    found = InstancePaths("owners", tmp_path)
    found.make()
    yield found


def _make(paths: InstancePaths, spec: SegmentSpec, struct: str, **names: str) -> ManifestEntry:
    path = paths.segment(spec.kind, spec.number)
    record = Segment.create(path, spec, instance_id=bytes(16)).record(struct)
    for field, name in names.items():
        record[field][: len(name)] = list(name.encode())
    return ManifestEntry(spec.kind, spec.number, 0, Broker.KITE)


def _feed(paths: InstancePaths, number: int, account: str, owner: str) -> ManifestEntry:
    return _make(paths, specs.feed_status(number), "FeedStatusC", account=account, owner=owner)


def test_a_connection_is_its_accounts_and_stays_so(paths: InstancePaths) -> None:
    entry = _feed(paths, 3, "main", "alice")
    holders = Holders(paths)
    assert holders.of(3) == Holder("main", "alice")
    paths.segment(entry.kind, 3).unlink()
    assert holders.of(3) == Holder("main", "alice")
    assert Holders(paths).of(3) == NOBODY and holders.of(4) == NOBODY


def test_what_has_no_owner_yet_is_asked_for_again(paths: InstancePaths) -> None:
    _feed(paths, 0, "", "")
    holders = Holders(paths)
    assert holders.of(0) == NOBODY
    record = Segment.attach(
        paths.segment(SegmentKind.FEED_STATUS, 0), SegmentKind.FEED_STATUS, writable=True
    ).record("FeedStatusC")
    record["owner"][:3], record["account"][:1] = list(b"bob"), list(b"x")
    assert holders.of(0) == Holder("x", "bob")


def test_names_may_fill_their_place(paths: InstancePaths) -> None:
    _feed(paths, 0, "a" * 32, "b" * 32)
    assert Holders(paths).of(0) == Holder("a" * 32, "b" * 32)


def test_a_manifest_of_one_owner_has_none_of_the_others_connections(paths: InstancePaths) -> None:
    manifest = (
        ManifestEntry(SegmentKind.LATEST, 0), _feed(paths, 0, "a", "alice"),
        _feed(paths, 1, "b", "bob"), ManifestEntry(SegmentKind.TICKS, 0),
        ManifestEntry(SegmentKind.TICKS, 1), ManifestEntry(SegmentKind.TICKS, 2),
    )  # fmt: skip
    holders = Holders(paths)
    assert holders.own(manifest, "alice") == (manifest[0], manifest[1], manifest[3])
    assert holders.own(manifest, "carol") == (manifest[0],)


def test_owners_are_those_of_the_keys_in_the_order_of_the_config(paths: InstancePaths) -> None:
    entries = [
        _make(paths, specs.account(number), "AccountC", owner=owner)
        for number, owner in ((2, "bob"), (0, "carol"), (1, "bob"))
    ]
    assert owners_of(paths, entries) == ("carol", "bob")
    assert owners_of(paths, []) == ()
