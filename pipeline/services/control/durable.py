"""What clients want that have no connection to live by, kept over the control process's death.

Floor 4. Others declare again what they want when the control process comes back. A command line
has ended by then, and a caller over HTTP will not: their demand is in a file beside the segments,
and ends with the instance.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from pipeline.planning.pool import Want
from pipeline.services.control.ledger import Ledger

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, list[Want]]).decode

_log = logging.getLogger(__name__)


class DurableDemand:
    """The file; `reserved` are clients that are durable for reasons of their own."""

    def __init__(self, file: Path, *, reserved: frozenset[str]) -> None:
        self._file = file
        self._reserved = reserved
        self._saved: dict[str, dict[int, Want]] = {}
        self._complained = False

    def restore(self, ledger: Ledger) -> None:
        """Have the ledger know what the file says; nothing where there is none."""
        try:
            found = _decode(self._file.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._complain(f"cannot be read, what was wanted by hand is forgotten: {error}")
            return
        for name, wants in found.items():
            ledger.join(name, durable=True)
            ledger.replace(name, {want.instrument_token: want for want in wants})
        self._saved = _copied(self._of(ledger))

    def save(self, ledger: Ledger) -> None:
        """Make the file say what durable clients want, if it does not already; cheap then."""
        wanted = self._of(ledger)
        if wanted == self._saved:
            return
        unfinished = self._file.with_suffix(".new")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_encode({name: list(of.values()) for name, of in wanted.items()}))
            unfinished.replace(self._file)
        except OSError as error:
            self._complain(f"cannot be written: {error.strerror}")
            return
        self._saved = _copied(wanted)

    def _of(self, ledger: Ledger) -> dict[str, dict[int, Want]]:
        return {
            name: client.wants
            for name, client in ledger.clients.items()
            if client.durable and client.wants and name not in self._reserved
        }

    def _complain(self, text: str) -> None:
        if not self._complained:
            _log.warning(f"{self._file.name}: {text}")
        self._complained = True


def _copied(wanted: dict[str, dict[int, Want]]) -> dict[str, dict[int, Want]]:
    return {name: dict(wants) for name, wants in wanted.items()}
