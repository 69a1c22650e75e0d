"""The newest tick of each instrument, out of the decoders' latest tables. Floor 3; read-only.

The assignments say which slot of which table an instrument has; they are looked at again whenever
one of them has a new version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ext.streams import copy_latest
from pipeline.core import layout
from pipeline.core.enums import Mode, SegmentKind
from pipeline.core.errors import CapacityError
from pipeline.shm.instance import InstanceView, ManifestEntry
from pipeline.shm.names import InstancePaths
from pipeline.shm.owners import Holders
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable

_SHOWN = 5


class _Places(NamedTuple):
    """Sorted tokens, and where each one's newest tick lies."""

    tokens: np.ndarray[Any, np.dtype[np.uint32]]
    slots: np.ndarray[Any, np.dtype[np.uint32]]
    decoders: np.ndarray[Any, np.dtype[np.uint16]]
    modes: np.ndarray[Any, np.dtype[np.uint8]]


class LatestTables:
    """All latest tables of an instance, as one table by instrument token."""

    def __init__(self, paths: InstancePaths) -> None:
        self._paths = paths
        self._tables: dict[int, Segment] = {}
        self._assignments: dict[int, tuple[int, AssignmentTable]] = {}
        self._versions: list[int] | None = None
        self._places = _Places(
            np.empty(0, "u4"), np.empty(0, "u4"), np.empty(0, "u2"), np.empty(0, "u1")
        )

    def follow(self, manifest: tuple[ManifestEntry, ...]) -> None:
        """Map the tables and assignments of the manifest that are not mapped yet."""
        wanted = {e.number: e for e in manifest if e.kind is SegmentKind.ASSIGNMENT}
        for number in self._assignments.keys() - wanted.keys():
            del self._assignments[number]
        for number in wanted.keys() - self._assignments.keys():
            try:
                table = AssignmentTable(self._attach(SegmentKind.ASSIGNMENT, number))
            except FileNotFoundError:
                continue  # it is being taken away at this moment; the manifest will say so
            self._assignments[number] = (wanted[number].decoder, table)
        for entry in manifest:
            if entry.kind is SegmentKind.LATEST and entry.number not in self._tables:
                self._tables[entry.number] = self._attach(SegmentKind.LATEST, entry.number)
        self._versions = None

    def _attach(self, kind: SegmentKind, number: int) -> Segment:
        return Segment.attach(self._paths.segment(kind, number), kind)

    def read(
        self, tokens: ArrayLike, expected: frozenset[int] = frozenset()
    ) -> np.ndarray[Any, Any]:
        """Return the newest tick of each token, in the order asked for; see Market.latest.

        `expected`: tokens that will be assigned soon, and have not ticked until then.
        """
        wanted = _as_tokens(tokens)
        self._refresh()
        places = self._places
        index = np.searchsorted(places.tokens, wanted)
        known = index < len(places.tokens)
        known[known] = places.tokens[index[known]] == wanted[known]
        missing = [token for token in wanted[~known].tolist() if token not in expected]
        if missing:
            raise _not_assigned(missing, len(places.tokens))
        ticks = np.zeros(len(wanted), layout.tick_dtype)
        target = ticks.view(np.uint8).reshape(len(wanted), layout.tick_dtype.itemsize)
        found = np.flatnonzero(known)
        decoders = places.decoders[index[found]]
        for decoder in np.unique(decoders):
            rows = found[decoders == decoder]
            copy_latest(self._tables[int(decoder)].mapping, places.slots[index[rows]], rows, target)
        # A slot that another instrument had before keeps that one's tick until the first own.
        ticks[ticks["instrument_token"] != wanted] = 0
        ticks["instrument_token"] = wanted
        return ticks

    def _refresh(self) -> None:
        versions = [table.version for _, table in self._assignments.values()]
        if versions == self._versions:
            return
        found = [(decoder, table.read()[1]) for decoder, table in self._assignments.values()]
        rows = np.concatenate([r for _, r in found] or [np.empty(0, layout.dtypes["AssignmentC"])])
        decoders = np.repeat([d for d, _ in found], [len(r) for _, r in found]).astype("u2")
        order = np.lexsort((rows["owner_epoch"], rows["instrument_token"]))
        rows, decoders = rows[order], decoders[order]
        last = np.ones(len(rows), bool)  # while an instrument moves: its newest owner
        last[:-1] = rows["instrument_token"][1:] != rows["instrument_token"][:-1]
        self._places = _Places(
            np.ascontiguousarray(rows["instrument_token"][last]),
            np.ascontiguousarray(rows["slot"][last]),
            decoders[last],
            np.ascontiguousarray(rows["mode"][last]),
        )
        self._versions = versions

    @property
    def tokens(self) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """All assigned instrument tokens, sorted."""
        self._refresh()
        return self._places.tokens.copy()

    def modes(self) -> dict[int, Mode]:
        """Return {instrument token: mode} of all that are assigned, by token."""
        self._refresh()
        tokens, modes = self._places.tokens.tolist(), self._places.modes.tolist()
        return {token: Mode(mode) for token, mode in zip(tokens, modes, strict=True)}


class OwnersLatest:
    """The latest tables of an instance, for each owner those of his connections alone.

    Two owners may have the same instrument: in one table for all there is room for one of the two.
    """

    def __init__(self, paths: InstancePaths) -> None:
        self._paths = paths
        self._view = InstanceView(paths)
        self._holders = Holders(paths)
        self._tables: dict[str, LatestTables] = {}
        self._manifests: dict[str, tuple[ManifestEntry, ...]] = {}

    def read(self, owner: str, tokens: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return the newest tick of each token that an owner's connections brought; else zeros."""
        tables = self._tables.get(owner)
        if tables is None:
            tables = self._tables[owner] = LatestTables(self._paths)
        manifest = self._holders.own(self._view.read().manifest, owner)
        if self._manifests.get(owner) != manifest:
            tables.follow(manifest)
            self._manifests[owner] = manifest
        return tables.read(list(tokens), frozenset(tokens))


def _as_tokens(tokens: ArrayLike) -> np.ndarray[Any, np.dtype[np.uint32]]:
    wanted = np.atleast_1d(np.asarray(tokens))
    if wanted.size == 0:
        return np.empty(0, np.uint32)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        raise TypeError(f"expected a list of instrument tokens (integers), got {tokens!r}")
    if int(wanted.min()) < 0 or int(wanted.max()) > 0xFFFFFFFF:
        raise TypeError("an instrument token is an unsigned integer of 32 bits")
    return wanted.astype(np.uint32)


def _not_assigned(missing: list[int], count: int) -> CapacityError:
    shown = ", ".join(map(str, missing[:_SHOWN]))
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return CapacityError(
        f"not among the {count} instruments of this instance: {shown}{more}; "
        "subscribe to them if it has a [pool], else add them to [[subscription]] instruments in "
        "its config file and start it again"
    )
