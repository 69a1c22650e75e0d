"""The bodies of `/api/v1` and `/api/websocket`, as the OpenAPI document tells them. Floor 4.

Clients send more than is needed, each its own: what is not known is passed over.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StrictStr

ITEMS_MAX = 5000

Key = Annotated[StrictStr, Field(min_length=1, max_length=256)]
Symbol = Annotated[StrictStr, Field(min_length=1, max_length=64)]
Exchange = Annotated[StrictStr, Field(pattern=r"^[A-Z_]{1,16}$")]
Day = Annotated[StrictStr, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class KeyBody(BaseModel):
    """A key, and nothing else."""

    apikey: Key


class InstrumentBody(KeyBody):
    """One instrument."""

    symbol: Symbol
    exchange: Exchange


class Item(BaseModel):
    """One instrument of several."""

    symbol: Symbol
    exchange: Exchange


class InstrumentsBody(KeyBody):
    """Several instruments."""

    symbols: Annotated[list[Item], Field(min_length=1, max_length=ITEMS_MAX)]


class SearchBody(KeyBody):
    """Words that occur in the names; of one exchange if it is given."""

    query: Annotated[StrictStr, Field(min_length=1, max_length=100)]
    exchange: Exchange | None = None


class ListBody(KeyBody):
    """The list of an exchange, or of all."""

    exchange: Exchange | None = None
    format: Literal["json", "csv"] = "json"


class ExpiryBody(InstrumentBody):
    """An underlying, and which of its derivatives."""

    instrumenttype: Literal["futures", "options"]


class HistoryBody(InstrumentBody):
    """A span of days, in bars."""

    interval: Annotated[StrictStr, Field(min_length=1, max_length=8)]
    start_date: Day
    end_date: Day


class WantedBody(BaseModel):
    """Instruments that a dashboard wants, and how much of each."""

    symbols: Annotated[list[Item], Field(min_length=1, max_length=ITEMS_MAX)]
    mode: Literal["LTP", "Quote", "Depth"] = "Quote"


class UnwantedBody(BaseModel):
    """Instruments that it wants no longer."""

    symbols: Annotated[list[Item], Field(min_length=1, max_length=ITEMS_MAX)]
