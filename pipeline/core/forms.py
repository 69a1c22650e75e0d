"""The ways to write an instrument, or many of them: parsed strictly, printed back. Floor 1; pure.

    408065                               an instrument token
    NSE:INFY  NFO:NIFTY24NOV24000CE      the broker's exchange and trading symbol
    NFO:NIFTY28NOV2424000CE              OpenAlgo's symbol; NSE_INDEX:NIFTY for an index
    NSE:#1594                            the exchange's own number
    NFO:NIFTY@weekly:atm+-10:CE,PE       options: expiry, strikes, sides
    NFO:NIFTY@fut:near                   a future

Only the syntax is checked here: whether such an instrument is listed, `pipeline.instruments` knows.
docs/instruments.md has the grammar with examples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from pipeline.core.errors import BadForm
from pipeline.core.instrument import EXCHANGE, OPTION_TYPES, SYMBOL

TOKEN_MAX: Final = 2**32 - 1
LENGTH_MAX: Final = 120
COUNT_MAX: Final = 1000  # strikes on one side, or expiries

FORMS_ALLOWED: Final = (
    'an instrument token, "EXCHANGE:SYMBOL" such as "NSE:INFY", "EXCHANGE:#NUMBER", '
    '"NFO:NIFTY@weekly:atm+-10:CE,PE" or "NFO:NIFTY@fut:near"'
)
_EXPIRIES_ALLOWED: Final = (
    "weekly, monthly, each with +N (how many later) and *N (so many in a row), near, next, far, "
    "all, or a day such as 2024-11-28 or 28NOV24"
)
_STRIKES_ALLOWED: Final = (
    "atm, atm+3, atm-3, atm+-10, atm-5..atm+10, 24000, 24000..25000, 24600+-10, or all"
)
_SIDES_ALLOWED: Final = "CE, PE or CE,PE"

_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_SERIES: Final = re.compile(r"(weekly|monthly)(?:\+([0-9]{1,3}))?(?:\*([0-9]{1,3}))?")
_ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHORT_DAY: Final = re.compile(r"[0-9]{2}[A-Z]{3}[0-9]{2}")
_NUMBER: Final = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"
_AROUND: Final = re.compile(rf"(atm|{_NUMBER})\+-([0-9]{{1,4}})")
_ATM: Final = re.compile(r"atm([+-][0-9]{1,4})?(?:\.\.atm([+-][0-9]{1,4})?)?")
_BETWEEN: Final = re.compile(rf"({_NUMBER})(?:\.\.({_NUMBER}))?")
_POSITIONS: Final = ("near", "next", "far")
#: As symbols have them, whatever language the host speaks.
MONTHS: Final = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)


@dataclass(frozen=True, slots=True)
class ByToken:
    """An instrument by its token."""

    token: int

    def __str__(self) -> str:
        return str(self.token)


@dataclass(frozen=True, slots=True)
class ByName:
    """An instrument by exchange and symbol, the broker's or OpenAlgo's."""

    exchange: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.exchange}:{self.symbol}"


@dataclass(frozen=True, slots=True)
class ByNumber:
    """An instrument by the exchange's own number for it; NSE_INDEX and so on for indices."""

    exchange: str
    number: int

    def __str__(self) -> str:
        return f"{self.exchange}:#{self.number}"


@dataclass(frozen=True, slots=True)
class Expiries:
    """Which expiries: a day, or `count` of a series from position `first` on.

    series: "weekly", "monthly", "near" (whatever comes), "all", or "day".
    """

    series: str
    first: int = 0
    count: int = 1
    day: date | None = None

    def __str__(self) -> str:
        if self.day is not None:
            return self.day.isoformat()
        if self.series == "near":
            return _POSITIONS[self.first]
        later = f"+{self.first}" if self.first else ""
        return f"{self.series}{later}{f'*{self.count}' if self.count > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Around:
    """Strikes by position: from `below` under the centre to `above` over it.

    The centre is the listed strike nearest to a price: the underlying's (None) or the given one.
    """

    below: int
    above: int
    centre: float | None = None

    def __str__(self) -> str:
        name = "atm" if self.centre is None else _number(self.centre)
        if self.below == self.above and (self.above or self.centre is not None):
            return f"{name}+-{self.above}"
        low, high = f"{name}{_signed(-self.below)}", f"{name}{_signed(self.above)}"
        return low if low == high else f"{low}..{high}"


@dataclass(frozen=True, slots=True)
class Between:
    """Strikes by price, both ends included; None: no bound."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "all"
        low, high = _number(self.low), _number(self.high)
        return low if low == high else f"{low}..{high}"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of an underlying."""

    exchange: str
    underlying: str
    expiries: Expiries
    strikes: Around | Between
    sides: tuple[str, ...] = OPTION_TYPES

    def __str__(self) -> str:
        return (
            f"{self.exchange}:{self.underlying}@{self.expiries}:{self.strikes}"
            f":{','.join(self.sides)}"
        )


@dataclass(frozen=True, slots=True)
class Futures:
    """Futures of an underlying."""

    exchange: str
    underlying: str
    expiries: Expiries

    def __str__(self) -> str:
        return f"{self.exchange}:{self.underlying}@fut:{self.expiries}"


#: What names one instrument, and what names many.
Single = ByToken | ByName | ByNumber
Form = Single | Options | Futures


def parse_form(text: object) -> Form:
    """Return what a text or integer means; raise BadForm, which says what is allowed."""
    if isinstance(text, int) and not isinstance(text, bool):
        return _by_token(text)
    if not isinstance(text, str) or not 0 < len(text) <= LENGTH_MAX:
        raise BadForm(text, "no instrument", FORMS_ALLOWED)
    if _DIGITS.fullmatch(text):
        return _by_token(int(text))
    exchange, colon, rest = text.partition(":")
    if not colon or not EXCHANGE.fullmatch(exchange):
        found = f"the exchange {exchange!r}" if colon else "no exchange"
        raise BadForm(text, found, FORMS_ALLOWED)
    if rest.startswith("#"):
        return ByNumber(exchange, _exchange_number(text, rest[1:]))
    name, at, terms = rest.partition("@")
    if not SYMBOL.fullmatch(name):
        raise BadForm(text, f"the symbol {name!r}", "1 to 64 printable characters without : and @")
    return _derivatives(text, exchange, name, terms.split(":")) if at else ByName(exchange, name)


def follows_price(form: object) -> bool:
    """Return whether a form has `atm`: what it stands for moves with the underlying's price."""
    try:
        found = parse_form(form)
    except BadForm:
        return False
    return (
        isinstance(found, Options)
        and isinstance(found.strikes, Around)
        and found.strikes.centre is None
    )


def _by_token(value: int) -> ByToken:
    if not 1 <= value <= TOKEN_MAX:
        raise BadForm(value, "an integer out of range", f"a token from 1 to {TOKEN_MAX}")
    return ByToken(value)


def _exchange_number(text: str, digits: str) -> int:
    if not _DIGITS.fullmatch(digits) or not 1 <= int(digits) <= TOKEN_MAX:
        raise BadForm(text, f"the number {digits!r}", "EXCHANGE:#NUMBER, such as NSE:#1594")
    return int(digits)


def _derivatives(text: str, exchange: str, name: str, terms: list[str]) -> Options | Futures:
    if terms[0] == "fut":
        if len(terms) > 2:
            raise BadForm(text, f"{len(terms)} terms after @", "fut, or fut:EXPIRY")
        return Futures(exchange, name, _expiries(text, terms[1] if len(terms) > 1 else "near"))
    expiries = _expiries(text, terms[0])
    if not 2 <= len(terms) <= 3:
        raise BadForm(text, f"{len(terms)} terms after @", "EXPIRY:STRIKES or EXPIRY:STRIKES:SIDES")
    sides = _sides(text, terms[2]) if len(terms) > 2 else OPTION_TYPES
    return Options(exchange, name, expiries, _strikes(text, terms[1]), sides)


def _expiries(text: str, term: str) -> Expiries:
    if term in _POSITIONS:
        return Expiries("near", _POSITIONS.index(term))
    if term == "all":
        return Expiries("all")
    if match := _SERIES.fullmatch(term):
        count = int(match[3] or 1)
        if count >= 1:
            return Expiries(match[1], int(match[2] or 0), count)
    day = _day(term)
    if day is None:
        raise BadForm(text, f"the expiry {term!r}", _EXPIRIES_ALLOWED)
    return Expiries("day", day=day)


def _day(term: str) -> date | None:
    """Read 2024-11-28, or 28NOV24 whatever language the host speaks."""
    try:
        if _ISO_DAY.fullmatch(term):
            return date.fromisoformat(term)
        if _SHORT_DAY.fullmatch(term) and term[2:5] in MONTHS:
            return date(2000 + int(term[5:]), MONTHS.index(term[2:5]) + 1, int(term[:2]))
    except ValueError:
        pass  # such as 2024-02-30
    return None


def short_day(day: date | datetime) -> str:
    """Return 28NOV24, as OpenAlgo's symbols have it."""
    return f"{day.day:02d}{MONTHS[day.month - 1]}{day.year % 100:02d}"


def _strikes(text: str, term: str) -> Around | Between:
    found: Around | Between | None = None
    if term == "all":
        found = Between()
    elif match := _AROUND.fullmatch(term):
        size = int(match[2])
        found = Around(size, size, None if match[1] == "atm" else float(match[1]))
    elif match := _ATM.fullmatch(term):
        low = int(match[1] or 0)
        high = int(match[2] or 0) if ".." in term else low
        found = Around(-low, high)
    elif match := _BETWEEN.fullmatch(term):
        found = Between(float(match[1]), float(match[2] or match[1]))
    if found is None or not _is_sound(found):
        raise BadForm(text, f"the strikes {term!r}", _STRIKES_ALLOWED)
    return found


def _is_sound(strikes: Around | Between) -> bool:
    if isinstance(strikes, Around):
        within = max(abs(strikes.below), abs(strikes.above)) <= COUNT_MAX
        return within and -strikes.below <= strikes.above
    return strikes.low is None or strikes.high is None or strikes.low <= strikes.high


def _sides(text: str, term: str) -> tuple[str, ...]:
    given = term.split(",")
    if set(given) - set(OPTION_TYPES) or len(set(given)) != len(given):
        raise BadForm(text, f"the sides {term!r}", _SIDES_ALLOWED)
    return tuple(side for side in OPTION_TYPES if side in given)


def strike_text(strike: float) -> str:
    """Return 24000 or 292.5: a strike without trailing zeros."""
    return _number(strike)


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _signed(value: int) -> str:
    return f"{value:+d}" if value else ""
