"""What of a pool is in no table, kept in a file beside the segments. Floor 4.

Three things: how many connections somebody asked for; the instruments that are wanted and in the
table of no connection, because there is no room for them, because their connection is still in the
making, or because they change connections at this moment, and until when they ticked before; and
which connection has the second half of what is mirrored, as no table tells that from a move. A
control process that comes after this one finds all that was wanted, whenever this one dies. It ends
with the instance.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from pipeline.planning.pool import Want

_log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """`connections`: how many there shall be at least, as asked for by hand; None: nobody has.

    `mirrors`: connections by instrument, also of what may be in a table still and is not wanted.
    `left_mono_ns`: until when what is adrift was decoded, where it was on a connection before.
    """

    connections: int | None = None
    adrift: Mapping[int, Want] = MappingProxyType({})
    mirrors: Mapping[int, int] = MappingProxyType({})
    left_mono_ns: Mapping[int, int] = MappingProxyType({})


class _Document(msgspec.Struct):
    connections: int | None
    adrift: list[Want]
    mirrors: dict[int, int] = msgspec.field(default_factory=dict)
    left_mono_ns: dict[int, int] = msgspec.field(default_factory=dict)


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Document).decode


class KeptFile:
    """The file of one owner's pool; what cannot be read or written is told once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._saved: Kept | None = None  # what the file says, None: not known
        self._complained = False

    def read(self) -> Kept:
        """Return what the file says; nothing where there is none, or none that can be read."""
        self._saved = Kept()
        try:
            found = _decode(self._file.read_bytes())
        except FileNotFoundError:
            return self._saved
        except (OSError, ValueError) as error:
            self._complain(f"cannot be read, what it kept is forgotten: {error}")
            return self._saved
        adrift = {want.instrument_token: want for want in found.adrift}
        self._saved = Kept(found.connections, adrift, found.mirrors, found.left_mono_ns)
        return self._saved

    def write(self, kept: Kept) -> None:
        """Make the file say this, if it does not already; cheap then."""
        if kept == self._saved:
            return
        unfinished = self._file.with_suffix(".new")
        adrift, mirrors = dict(kept.adrift), dict(kept.mirrors)
        left_mono_ns = dict(kept.left_mono_ns)
        document = _Document(kept.connections, list(adrift.values()), mirrors, left_mono_ns)
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_encode(document))
            unfinished.replace(self._file)
        except OSError as error:
            self._complain(f"cannot be written: {error.strerror}")
            return
        self._saved = Kept(kept.connections, adrift, mirrors, left_mono_ns)

    def _complain(self, text: str) -> None:
        if not self._complained:
            _log.warning(f"{self._file.name}: {text}")
        self._complained = True
