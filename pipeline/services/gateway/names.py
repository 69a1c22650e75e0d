"""Instruments as clients name them, from the instrument list. Floor 4; reads a file.

OpenAlgo's names, and the broker's own where they are the same. Every name that a client was given
has a number of its own within its owner, by which all else knows it. A new list may give a name to
another instrument, as exchanges give numbers anew: then the name gets another number, too, and who
has it already keeps what he has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.core.errors import BadInstruments, NoInstruments
from pipeline.instruments.catalogue import Catalogue, load
from pipeline.services.gateway.session import Listed

_EXCHANGE_LENGTH_MAX: Final = 16
_SYMBOL_LENGTH_MAX: Final = 64

_log = logging.getLogger(__name__)


class Names:
    """The list in a file, None for the usual one; `load` reads it, and may be called in a thread.

    introduce: told the first time that a client names an instrument.
    """

    def __init__(
        self, file: Path | None, introduce: Callable[[Listed], object] = lambda listed: None
    ) -> None:
        self._file = file
        self._introduce = introduce
        self._catalogue: Catalogue | None = None
        self._keys: dict[tuple[str, str, str], tuple[Listed, Catalogue]] = {}
        self._tokens: list[int] = []

    def load(self) -> None:
        """Read the list, or say in a line why there is none."""
        try:
            self._catalogue = load(self._file)
        except (NoInstruments, BadInstruments) as error:
            _log.error(f"clients cannot name any instrument: {error}")

    def changed(self, before: float) -> float:
        """Return when the list was written, `before` if that cannot be told."""
        file = self._file if self._catalogue is None else self._catalogue.info.file
        try:
            return before if file is None else file.stat().st_mtime
        except OSError:
            return before

    def find(self, owner: str, exchange: str, symbol: str) -> Listed | None:
        """Return the instrument of exactly these names; None if there is none."""
        catalogue = self._catalogue
        known = self._keys.get((owner, exchange, symbol))
        if known is not None and known[1] is catalogue:
            return known[0]
        if (
            catalogue is None
            or len(exchange) > _EXCHANGE_LENGTH_MAX
            or len(symbol) > _SYMBOL_LENGTH_MAX
            or symbol.startswith("#")
        ):
            return None
        token = catalogue.get_token(f"{exchange}:{symbol}")
        if token is None:
            return None
        if known is not None and self._tokens[known[0].key] == token:
            listed = known[0]
        else:
            listed = Listed(len(self._tokens), symbol, exchange)
            self._tokens.append(token)
            self._introduce(listed)
        self._keys[owner, exchange, symbol] = (listed, catalogue)
        return listed

    def token(self, listed: Listed) -> int:
        """Return the instrument token of what was found."""
        return self._tokens[listed.key]

    def key_of_token(self, token: int) -> str | None:
        """Return OpenAlgo's `EXCHANGE:SYMBOL` of an instrument token, if it is listed."""
        if self._catalogue is None:
            return None
        instrument = self._catalogue.get(token)
        return None if instrument is None else self._catalogue.openalgo_key(instrument)
