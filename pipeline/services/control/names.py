"""What the pool's clients call instruments, as tokens. Floor 4.

The list is loaded when the first name is asked for, and again when another one has taken its
place. `atm` goes by the newest tick, if the underlying is streamed, else by the list's own price.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from pipeline.core.errors import BadInstruments, NoInstruments
from pipeline.instruments.catalogue import Catalogue, load
from pipeline.instruments.store import age_warning, default_file

#: The last price of a token in rupees; None where it is not known.
LastPrice = Callable[[int], float | None]

_log = logging.getLogger(__name__)


class Stranger(NamedTuple):
    """A name that stands for nothing: a sentence, and what looks like it."""

    text: str
    near: tuple[str, ...] = ()


class Names:
    """The instrument list of an instance, as far as it is needed."""

    def __init__(
        self, file: Path | None, last_price: LastPrice, *, today: date | None = None
    ) -> None:
        self._file = file or default_file()
        self._last_price = last_price
        self._today = today  # None: whatever it is in India when somebody asks
        self._catalogue: Catalogue | None = None
        self._identity: tuple[int, int] | None = None

    def resolve(
        self, names: Sequence[str]
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, Stranger]]:
        """Return {name: tokens} of what is known, and what is not."""
        try:
            catalogue = self._load()
        except (NoInstruments, BadInstruments) as error:
            return {}, {name: Stranger(f"{name[:60]!r}: {error}") for name in names}
        found = catalogue.resolve(
            names, spot=lambda token: self._price(catalogue, token), today=self._today
        )
        known: dict[str, tuple[int, ...]] = {
            str(form): (token,) for form, token in found.single.items()
        }
        for expansion in found.expanded:
            known[expansion.form] = tuple(row.instrument_token for row in expansion.instruments)
        strangers = {str(u.form): Stranger(str(u), u.near) for u in found.unknown}
        return known, strangers

    def _price(self, catalogue: Catalogue, token: int) -> float | None:
        price = self._last_price(token)
        if price:
            return price
        listed = catalogue.get(token)
        return listed.last_price if listed is not None else None

    def _load(self) -> Catalogue:
        try:
            found = self._file.stat()
            identity = (found.st_ino, found.st_mtime_ns)
        except FileNotFoundError:
            identity = None
        if self._catalogue is None or identity != self._identity:
            self._catalogue = load(self._file)
            self._identity = identity
            warning = age_warning(self._catalogue.info)
            if warning:
                _log.warning(warning)
        return self._catalogue
