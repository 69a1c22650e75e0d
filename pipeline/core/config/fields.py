"""The kinds of values that a config can hold, and how a section declares its keys. Floor 1.

Each key is declared once, in its section's dataclass: type, default, bounds and one line of
documentation. Reading, error messages, `config show` and the reference all follow from that.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.errors import BadForm
from pipeline.core.forms import FORMS_ALLOWED, ByToken, parse_form

_METADATA_KEY: Final = "pipeline"
MISSING: Final = dataclasses.MISSING


class Refused(Exception):
    """A value that its key does not take; `found` replaces the value's own text when given."""

    def __init__(self, hint: str = "", *, found: str = "") -> None:
        self.hint = hint
        self.found = found
        super().__init__(hint)


class Kind(ABC):
    """A kind of value: says what is allowed, and turns what TOML gave into what we keep."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What a person may write, as the end of `expected ...`."""

    @abstractmethod
    def read(self, value: object) -> Any:
        """Return the value as we keep it; raise Refused."""


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number within bounds."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        return f"an integer from {self.low} to {self.high}"

    def read(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused
        if not self.low <= value <= self.high:
            raise Refused
        return value


@dataclass(frozen=True)
class Number(Kind):
    """A finite number within bounds, or one word."""

    low: float
    high: float
    word: str = ""  # accepted instead of a number

    @property
    def allowed(self) -> str:
        text = f"a number from {self.low:g} to {self.high:g}"
        return f'{text}, or "{self.word}"' if self.word else text

    def read(self, value: object) -> float | str:
        if self.word and value == self.word:
            return self.word
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not self.low <= value <= self.high  # so neither nan nor what no float holds
        ):
            raise Refused
        return float(value)


@dataclass(frozen=True)
class Flag(Kind):
    """true or false."""

    @property
    def allowed(self) -> str:
        return "true or false"

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise Refused
        return value


@dataclass(frozen=True)
class Text(Kind):
    """A text that matches a pattern as a whole."""

    pattern: str
    description: str
    hidden: bool = False  # the value is not repeated in messages
    hint: str = ""

    @property
    def allowed(self) -> str:
        return self.description

    def read(self, value: object) -> str:
        if isinstance(value, str) and re.fullmatch(self.pattern, value):
            return value
        raise Refused(self.hint, found=self._found(value))

    def _found(self, value: object) -> str:
        if self.hidden:
            return "another value (not shown)"
        # A secret may stand in an address, before its host or in its query.
        if isinstance(value, str) and "://" in value and re.search("[?@]", value):
            return "an address with more than a host and a path (not shown)"
        return ""


@dataclass(frozen=True)
class Word(Kind):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(f'"{word}"' for word in self.words)

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise Refused
        return value


@dataclass(frozen=True)
class InstrumentForm(Kind):
    """An instrument, or many, in any form; a token in digits is kept as the number."""

    @property
    def allowed(self) -> str:
        return FORMS_ALLOWED

    def read(self, value: object) -> int | str:
        try:
            form = parse_form(value)
        except BadForm as error:
            raise Refused("" if error.allowed == FORMS_ALLOWED else error.hint) from None
        return form.token if isinstance(form, ByToken) else str(value)


@dataclass(frozen=True)
class ListOf(Kind):
    """A TOML array of at most `length_max` values of one kind, kept as a tuple."""

    item: Kind
    length_max: int
    length_min: int = 1

    @property
    def allowed(self) -> str:
        size = f"{self.length_min} to {self.length_max}"
        return f"a list of {size} values, each {self.item.allowed}"

    def read(self, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise Refused
        if not self.length_min <= len(value) <= self.length_max:
            raise Refused(found=f"a list of {len(value)}")
        return tuple(self._read_item(index, item) for index, item in enumerate(value))

    def _read_item(self, index: int, item: object) -> Any:
        try:
            return self.item.read(item)
        except Refused as refused:
            raise Refused(refused.hint, found=f"{shorten(item)} at position {index}") from None


@dataclass(frozen=True)
class TimeOfDay(Kind):
    """A time of day, as TOML's own kind or as text."""

    @property
    def allowed(self) -> str:
        return 'a time of day such as "09:15"'

    def read(self, value: object) -> datetime.time:
        if isinstance(value, datetime.time):
            return value
        try:
            return datetime.time.fromisoformat(value) if isinstance(value, str) else _refuse()
        except ValueError:
            raise Refused from None


@dataclass(frozen=True)
class Day(Kind):
    """A date, as TOML's own kind or as text."""

    @property
    def allowed(self) -> str:
        return "a date such as 2026-01-26"

    def read(self, value: object) -> datetime.date:
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            return value
        try:
            return datetime.date.fromisoformat(value) if isinstance(value, str) else _refuse()
        except ValueError:
            raise Refused from None


class FreeTable(dict[str, Any]):
    """A table whose keys are somebody else's; nobody changes it, so that it has a hash."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(self))


@dataclass(frozen=True)
class AnyTable(Kind):
    """A TOML table with any keys and values, kept as it is."""

    @property
    def allowed(self) -> str:
        return "a table with any keys"

    def read(self, value: object) -> FreeTable:
        if not isinstance(value, dict):
            raise Refused
        return FreeTable(value)


def _refuse() -> Any:
    raise Refused


@dataclass(frozen=True)
class Key:
    """A leaf's declaration."""

    kind: Kind
    doc: str
    example: object = None  # shown in the reference where there is no default
    essential: bool = False  # the reference shows its example although it may be absent


@dataclass(frozen=True)
class Table:
    """A nested section's declaration; `word` may stand instead of the table."""

    section: type[Any]
    doc: str
    name: str = ""  # in TOML, where it differs from the attribute's
    repeated: bool = False
    word: str = ""
    excludes: bool = False  # other sections, so that no file can have all of them


def key(
    kind: Kind,
    doc: str,
    *,
    default: Any = MISSING,
    example: object = None,
    essential: bool = False,
) -> Any:
    """Declare a key; without a default it is required, with None it may be absent."""
    metadata = {_METADATA_KEY: Key(kind, doc, example, essential)}
    if default is MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def table(
    section: type[Any], doc: str, *, optional: bool = False, word: str = "", excludes: bool = False
) -> Any:
    """Declare a nested section; unless optional, an absent one has its defaults."""
    metadata = {_METADATA_KEY: Table(section, doc, word=word, excludes=excludes)}
    if optional or word:
        return dataclasses.field(default=None, metadata=metadata)
    return dataclasses.field(default_factory=section, metadata=metadata)


def tables(section: type[Any], doc: str, *, name: str) -> Any:
    """Declare a section that may stand any number of times, as `[[name]]` in TOML."""
    metadata = {_METADATA_KEY: Table(section, doc, name=name, repeated=True)}
    return dataclasses.field(default=(), metadata=metadata)


def declarations(section: type[Any]) -> dict[str, tuple[dataclasses.Field[Any], Key | Table]]:
    """Return {name in TOML: (field, declaration)} of a section, in its own order."""
    found = {}
    for field in dataclasses.fields(section):
        declared = field.metadata.get(_METADATA_KEY)
        if declared is not None:
            name = declared.name if isinstance(declared, Table) else ""
            found[name or field.name] = (field, declared)
    return found


def shorten(value: object, length_max: int = 60) -> str:
    """Return a value as a message shows it: on one line, not too long, whatever it holds."""
    try:
        text = ascii(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= length_max else text[: length_max - 3] + "..."
