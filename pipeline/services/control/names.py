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
from pipeline.core.forms import Options, parse_form
from pipeline.instruments.catalogue import Catalogue, load
from pipeline.instruments.chains import nearest_strike
from pipeline.instruments.store import age_warning, default_file

#: The last price of a token in rupees; None where it is not known.
LastPrice = Callable[[int], float | None]

_log = logging.getLogger(__name__)


class Stranger(NamedTuple):
    """A name that stands for nothing: a sentence, and what looks like it."""

    text: str
    near: tuple[str, ...] = ()


class Expanded(NamedTuple):
    """What a form with `atm` stands for now; without a price it has its underlying alone.

    centre: the strike nearest to the price, of the next expiry's `strikes`. `streamed`: whether
    the price is that of a tick. `edition` changes with the list and with the day.
    """

    underlying: int
    tokens: tuple[int, ...] = ()
    centre: float | None = None
    strikes: tuple[float, ...] = ()
    streamed: bool = False
    edition: tuple[date, ...] = ()


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

    def expand(self, form: str) -> Expanded | Stranger:
        """Return what an options form with `atm` stands for, or why it stands for nothing."""
        try:
            catalogue = self._load()
        except (NoInstruments, BadInstruments) as error:
            return Stranger(f"{form[:60]!r}: {error}")
        parsed = parse_form(form)
        assert isinstance(parsed, Options)
        where = catalogue.spot_of(parsed.exchange, parsed.underlying)
        streamed = self._last_price(where.instrument_token) if where else None
        price = streamed or (where.last_price if where else 0.0)
        # Any price does to learn whether there is such an expiry.
        found = catalogue.resolve([form], spot=lambda _: price or 1.0, today=self._today)
        if where is None or not found.expanded:
            unknown = found.unknown[0] if found.unknown else None
            text = str(unknown) if unknown else f"{form[:60]!r}: its underlying is not listed"
            return Stranger(text, unknown.near if unknown else ())
        if not price:
            return Expanded(where.instrument_token)
        chain = catalogue.chain(parsed.exchange, parsed.underlying)
        days = found.expanded[0].expiries
        strikes = tuple(chain.strikes(days[0])) if chain else ()
        centre = strikes[nearest_strike(strikes, price)]
        edition = (catalogue.info.day, *days)
        return Expanded(
            where.instrument_token, found.tokens, centre, strikes, bool(streamed), edition
        )

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
