"""What the pool's clients call instruments, as tokens. Floor 4.

The list is loaded when the first name is asked for, and again when another one has taken its
place; one that is `kept` stays in use until `load`, in a thread, has loaded the next. `atm` goes by
the newest tick, if the underlying is streamed, else by the list's own price.
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
        self, file: Path | None, last_price: LastPrice, *, today: date | None = None,
        kept: bool = False,
    ) -> None:  # fmt: skip
        self._file = file or default_file()
        self._last_price = last_price
        self._today = today  # None: whatever it is in India when somebody asks
        self._catalogue: Catalogue | None = None
        self._identity: tuple[int, int] | None = None
        self._refused: tuple[int, int] | None = None  # a list that cannot be loaded
        self._is_kept = kept

    @property
    def is_used(self) -> bool:
        """Whether a list was loaded."""
        return self._catalogue is not None

    @property
    def is_stale(self) -> bool:
        """Whether there is a list to load that was not loaded, nor found to be none."""
        identity = self._find()
        return identity is not None and identity not in (self._identity, self._refused)

    def load(self) -> None:
        """Load the list that there is, if there is one; from any one thread."""
        identity = self._find()
        try:
            self._take(identity)
        except (NoInstruments, BadInstruments) as error:
            self._refused = identity
            if self._catalogue is not None:
                _log.warning(f"the instrument list of before stays in use: {error}")

    def resolve(
        self, names: Sequence[str], *, last_price: LastPrice | None = None
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, Stranger]]:
        """Return {name: tokens} of what is known, and what is not.

        last_price: by whose prices, if not by the usual ones.
        """
        price = last_price or self._last_price
        try:
            catalogue = self._load()
        except (NoInstruments, BadInstruments) as error:
            return {}, {name: Stranger(f"{name[:60]!r}: {error}") for name in names}
        found = catalogue.resolve(
            names, spot=lambda token: _price(catalogue, token, price), today=self._today
        )
        known: dict[str, tuple[int, ...]] = {
            str(form): (token,) for form, token in found.single.items()
        }
        for expansion in found.expanded:
            known[expansion.form] = tuple(row.instrument_token for row in expansion.instruments)
        strangers = {str(u.form): Stranger(str(u), u.near) for u in found.unknown}
        return known, strangers

    def catalogue(self) -> Catalogue:
        """Return the whole list; raise NoInstruments or BadInstruments. Any thread may ask."""
        return self._load()

    def expand(self, form: str, *, last_price: LastPrice | None = None) -> Expanded | Stranger:
        """Return what an options form with `atm` stands for, or why it stands for nothing.

        last_price: as for `resolve`.
        """
        try:
            catalogue = self._load()
        except (NoInstruments, BadInstruments) as error:
            return Stranger(f"{form[:60]!r}: {error}")
        parsed = parse_form(form)
        assert isinstance(parsed, Options)
        where = catalogue.spot_of(parsed.exchange, parsed.underlying)
        ticked = last_price or self._last_price
        streamed = ticked(where.instrument_token) if where else None
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

    def _load(self) -> Catalogue:
        if self._catalogue is not None and self._is_kept:
            return self._catalogue
        identity = self._find()
        if self._catalogue is None or identity != self._identity:
            return self._take(identity)
        return self._catalogue

    def _find(self) -> tuple[int, int] | None:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _take(self, identity: tuple[int, int] | None) -> Catalogue:
        catalogue = load(self._file)
        self._catalogue, self._identity = catalogue, identity
        warning = age_warning(catalogue.info)
        if warning:
            _log.warning(warning)
        return catalogue


def _price(catalogue: Catalogue, token: int, last_price: LastPrice) -> float | None:
    price = last_price(token)
    if price:
        return price
    listed = catalogue.get(token)
    return listed.last_price if listed is not None else None
