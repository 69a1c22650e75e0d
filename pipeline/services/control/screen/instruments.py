"""What the pool streams, by name: the list that the screen searches. Floor 4; no I/O.

Made at most every few seconds, and only when somebody asks: with 9,000 instruments it is a third of
a megabyte, and it changes rarely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

#: The OpenAlgo name (`NSE:INFY`) of a token; None for one that is not listed.
NameOf = Callable[[int], str | None]


class Placed(NamedTuple):
    """An instrument of the pool: its connection, its account."""

    token: int
    connection: int
    account: str


def placed(distribution: Mapping[str, Mapping[str, Iterable[int]]]) -> list[Placed]:
    """Return the instruments of a distribution by token; one that moves is there once."""
    found = {
        token: Placed(token, int(number), account)
        for account, connections in distribution.items()
        for number, tokens in connections.items()
        for token in tokens
    }
    return [found[token] for token in sorted(found)]


def instruments_document(rows: Iterable[Placed], name_of: NameOf, problem: str) -> dict[str, Any]:
    """Return rows of [token, exchange, symbol, connection, account]; `problem`: why there are no
    names. What is not listed has empty names: there is nothing to ask the gateway for it by."""
    listed = []
    unnamed = 0
    for row in rows:
        exchange, _, symbol = (name_of(row.token) or "").partition(":")
        unnamed += not symbol
        listed.append([row.token, exchange, symbol, row.connection, row.account])
    return {"rows": listed, "unnamed": unnamed, "problem": problem}
