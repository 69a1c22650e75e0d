"""Whose an instance's connections are: what readers keep different people's data apart by. Floor 2.

Every `[[account]]` of a config has an owner. The supervisor writes it into the account's page, and
with the account's name into the page of each of its connections, before readers can see them, and
it never changes. So: tick or order -> connection -> account and owner, by nothing that a client or
a broker says. Whoever serves several people looks a connection up here and drops what is not of
the person's owner; what is not known (any more) is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.enums import SegmentKind
from pipeline.shm.instance import ManifestEntry
from pipeline.shm.names import OF_CONNECTIONS, InstancePaths
from pipeline.shm.segment import Segment


class Holder(NamedTuple):
    """Whose a connection is: the account's name, and its owner's."""

    account: str
    owner: str


#: Of a connection that is not there.
NOBODY = Holder("", "")


class Holders:
    """The holders of one instance's connections; each is looked up once, and kept."""

    def __init__(self, paths: InstancePaths) -> None:
        self._paths = paths
        self._known: dict[int, Holder] = {}

    def of(self, connection: int) -> Holder:
        """Return the holder of a connection, also of one that has been seen and is gone since."""
        known = self._known.get(connection)
        if known is not None:
            return known
        path = self._paths.segment(SegmentKind.FEED_STATUS, connection)
        try:
            record = Segment.attach(path, SegmentKind.FEED_STATUS).record("FeedStatusC")
        except FileNotFoundError:
            return NOBODY
        found = Holder(_text(record["account"]), _text(record["owner"]))
        if found.account:  # written after the owner
            self._known[connection] = found
        return found

    def own(self, manifest: tuple[ManifestEntry, ...], owner: str) -> tuple[ManifestEntry, ...]:
        """Return a manifest without the connections of others than this owner."""
        numbers = {entry.number for entry in manifest if entry.kind is SegmentKind.FEED_STATUS}
        own = {number for number in numbers if self.of(number).owner == owner}
        return tuple(
            entry for entry in manifest if entry.kind not in OF_CONNECTIONS or entry.number in own
        )


def owners_of(paths: InstancePaths, manifest: Iterable[ManifestEntry]) -> tuple[str, ...]:
    """Return the owners of an instance's accounts, in the order of its config."""
    numbers = sorted(entry.number for entry in manifest if entry.kind is SegmentKind.ACCOUNT)
    kind = SegmentKind.ACCOUNT
    records = (Segment.attach(paths.segment(kind, n), kind).record("AccountC") for n in numbers)
    return tuple(dict.fromkeys(filter(None, (_text(record["owner"]) for record in records))))


def _text(raw: np.ndarray[Any, Any]) -> str:
    return raw.tobytes().partition(b"\0")[0].decode(errors="replace")
