"""From what people write to instrument tokens, with all that is unknown at once. Floor 2.

Pure over a catalogue: what an underlying costs comes from whoever calls.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.core.config.fields import shorten
from pipeline.core.errors import BadForm, UnknownInstruments
from pipeline.core.forms import Around, Form, Futures, Options, Single, parse_form
from pipeline.core.instrument import Instrument
from pipeline.instruments.chains import Chain, choose_days, choose_strikes, has_weeklies
from pipeline.instruments.store import today_in_india

if TYPE_CHECKING:
    from pipeline.instruments.catalogue import Catalogue

#: {instrument token -> its last price in rupees}; None or 0 where that is not known.
SpotPrice = Callable[[int], float | None]

_NEAR_SHOWN: Final = 3
#: Of so many unknown forms at most it is said what looks like them: that is a millisecond or two
#: each, and somebody may come with thousands of yesterday's options.
NEAR_FORMS_MAX: Final = 20
_DAYS_SHOWN: Final = 6


class Unknown(NamedTuple):
    """A form that stands for nothing: why, and what looks like it."""

    form: str
    reason: str
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        hint = f"; did you mean {', '.join(self.near)}?" if self.near else ""
        return f"{shorten(self.form, 80)}: {self.reason}{hint}"


class Expansion(NamedTuple):
    """What one form of many came to; `spot` is the price that `atm` was found by, else None."""

    form: str
    instruments: tuple[Instrument, ...]
    expiries: tuple[date, ...]
    spot: float | None = None


class Resolved(NamedTuple):
    """What forms stand for.

    tokens: each once, in the order of the forms. single: {form: token} of the forms that name one
    instrument. unknown: the forms that stand for nothing; the first NEAR_FORMS_MAX have near names.
    """

    tokens: tuple[int, ...]
    unknown: tuple[Unknown, ...]
    expanded: tuple[Expansion, ...]
    single: dict[str | int, int]

    def require(self) -> tuple[int, ...]:
        """Return the tokens; raise UnknownInstruments naming every form that is unknown."""
        if self.unknown:
            text = "; ".join(map(str, self.unknown))
            raise UnknownInstruments(text, {found.form: found.near for found in self.unknown})
        return self.tokens

    def in_order(self, forms: Iterable[str | int]) -> list[int]:
        """Return the tokens form by form, repeated where forms are; integers as they are."""
        many = {e.form: [row.instrument_token for row in e.instruments] for e in self.expanded}
        found: list[int] = []
        for form in forms:
            single = form if isinstance(form, int) else self.single.get(form)
            found += many.get(str(form), ()) if single is None else (single,)
        return found


class _Nothing(Exception):
    """A form that stands for nothing: why, and what looks like it."""

    def __init__(self, reason: str, near: Sequence[str] = ()) -> None:
        self.reason = reason
        self.near = tuple(near)
        super().__init__(reason)


def resolve(
    catalogue: Catalogue,
    forms: Iterable[str | int],
    *,
    spot: SpotPrice | None = None,
    today: date | None = None,
) -> Resolved:
    """Return what forms of every kind stand for; see Catalogue.resolve."""
    work = _Resolving(catalogue, spot or _last_price_of(catalogue), today or today_in_india())
    for form in forms:
        token = catalogue.get_token(form)
        if token is not None:
            work.single[form] = token
            work.tokens[token] = None
            continue
        try:
            work.expand(form, parse_form(form))
        except BadForm as error:
            near = work.near(form)
            allowed = "" if near else f"; expected {error.allowed}"
            work.unknown.append(Unknown(str(form), f"found {error.found}{allowed}", near))
        except _Nothing as nothing:
            work.unknown.append(Unknown(str(form), nothing.reason, nothing.near))
    return Resolved(
        tuple(work.tokens), tuple(work.unknown), tuple(work.expanded), dict(work.single)
    )


def _last_price_of(catalogue: Catalogue) -> SpotPrice:
    def last_price(token: int) -> float | None:
        found = catalogue.get(token)
        return found.last_price if found else None

    return last_price


class _Resolving:
    """One call of `resolve`: what was found so far."""

    def __init__(self, catalogue: Catalogue, spot: SpotPrice, today: date) -> None:
        self.catalogue = catalogue
        self.spot = spot
        self.today = today
        self.tokens: dict[int, None] = {}  # as an ordered set
        self.unknown: list[Unknown] = []
        self.expanded: list[Expansion] = []
        self.single: dict[str | int, int] = {}
        self._near_left = NEAR_FORMS_MAX

    def near(self, form: str | int) -> tuple[str, ...]:
        """Return listed names that look like a form; of the first so many forms alone."""
        self._near_left -= 1
        return self.catalogue.near(form) if self._near_left >= 0 else ()

    def expand(self, form: str | int, parsed: Form) -> None:
        """Add what a form of many stands for; raise _Nothing when that is nothing."""
        if isinstance(parsed, Single):
            day = self.catalogue.info.day
            raise _Nothing(f"not in the list of {day}", self.near(form))
        expansion = self._expand(parsed)._replace(form=str(form))
        self.expanded.append(expansion)
        self.tokens |= dict.fromkeys(found.instrument_token for found in expansion.instruments)

    def _expand(self, form: Options | Futures) -> Expansion:
        chain = self.catalogue.chain(form.exchange, form.underlying)
        is_future = isinstance(form, Futures)
        if chain is None or not chain.expiries(futures=is_future):
            raise self._no_chain(form)
        days = choose_days(chain.expiries(futures=is_future), form.expiries, self.today)
        if not days:
            raise _Nothing(self._no_day(form, chain))
        if isinstance(form, Futures):
            wanted = {day.isoformat() for day in days}
            futures = tuple(found for found in chain.futures if found.expiry in wanted)
            return Expansion(str(form), futures, tuple(days))
        price = self._price(form) if _needs_price(form) else None
        options = tuple(_options(chain, form, days, price))
        if not options:
            raise _Nothing(_no_strike(chain, days))
        return Expansion(str(form), options, tuple(days), price)

    def _price(self, form: Options) -> float:
        where = self.catalogue.spot_of(form.exchange, form.underlying)
        price = self.spot(where.instrument_token) if where else None
        if not price or price <= 0:
            name = where.key if where else f"an underlying of {form.underlying}"
            raise _Nothing(
                f"the price of {name} is not known here, which atm needs; give one instead of "
                "atm, as in 24600+-10",
            )
        return price

    def _no_chain(self, form: Options | Futures) -> _Nothing:
        what = "futures" if isinstance(form, Futures) else "options"
        known = self.catalogue.underlyings(form.exchange)
        self._near_left -= 1
        wanted = form.underlying.upper() if self._near_left >= 0 else ""
        near = difflib.get_close_matches(wanted, known, _NEAR_SHOWN, 0.5) if wanted else []
        return _Nothing(
            f"no {what} of {form.underlying} on {form.exchange} in the list of "
            f"{self.catalogue.info.day}",
            [f"{form.exchange}:{name}" for name in near],
        )

    def _no_day(self, form: Options | Futures, chain: Chain) -> str:
        days = chain.expiries(futures=isinstance(form, Futures))
        coming = [day for day in days if day >= self.today]
        if not coming:
            return f"all expiries are before {self.today}: sync the list"
        if form.expiries.series == "weekly" and not has_weeklies(days):
            return f"{form.underlying} has no weekly expiries; use monthly or near"
        more = " ..." if len(coming) > _DAYS_SHOWN else ""
        return f"no such expiry; listed: {', '.join(map(str, coming[:_DAYS_SHOWN]))}{more}"


def _needs_price(form: Options) -> bool:
    return isinstance(form.strikes, Around) and form.strikes.centre is None


def _options(
    chain: Chain, form: Options, days: list[date], price: float | None
) -> Iterator[Instrument]:
    for day in days:
        for strike in choose_strikes(chain.strikes(day), form.strikes, price):
            for side in form.sides:
                found = chain.option(day, strike, side)
                if found is not None:
                    yield found


def _no_strike(chain: Chain, days: list[date]) -> str:
    strikes = chain.strikes(days[0])
    listed = f"{strikes[0]:g} to {strikes[-1]:g}" if strikes else "none"
    return f"no such strike; listed for {days[0]}: {listed}"
