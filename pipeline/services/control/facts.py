"""Which facts of a pool are worth an alert. Floor 4; pure."""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from pipeline.core.enums import State
from pipeline.services.control.alerts import Fact, FactKey, Severity
from pipeline.services.control.links import Link
from pipeline.services.control.pool import Pool
from pipeline.services.control.readings import Reading
from pipeline.services.control.watch import Watch

#: A decoder that is so far behind on a connection is about to lose frames.
LAG_FILL: Final = 0.5
#: What Kite says when a connection has too many (Kite Connect v3 documentation, WebSocket).
_CAPACITY: Final = re.compile(r"(?i)can't subscribe to more than \d+ instruments")
#: Tokens that an alert names.
_NAMED: Final = 5

_STATES: Final = {
    State.AUTH_EXPIRED: ("token_rejected", Severity.CRITICAL, "the broker rejects its token"),
    State.LIMITED: ("rate_limited", Severity.ERROR, "the broker limits this key (429)"),
    State.FAILED: ("circuit_open", Severity.CRITICAL, "its feed keeps dying; tried once a minute"),
}


def facts(pools: Mapping[str, Pool], watch: Watch) -> Mapping[FactKey, Fact]:
    """Return what is not as it should be in the owners' pools, by the facts' keys."""
    found = []
    for owner, pool in pools.items():
        own = [
            *_decoders(pool, watch),
            *_places(pool, f"pool of {owner}" if len(pools) > 1 else "pool"),
            *_limits(pool),
            *_connections(pool, watch),
        ]
        found += [fact._replace(owner=owner) for fact in own]
    return {fact.key: fact for fact in found}


def _connections(pool: Pool, watch: Watch) -> Iterator[Fact]:
    for link in pool.links.values():
        reading = watch.readings.get(link.number)
        if reading is not None and link.wanted:
            yield from _connection(link, reading, watch, _waiting(pool, link))
        elif link.wanted and link.is_down:
            text = f"it could not be made: see the log; {_waiting(pool, link)}"
            yield Fact("connection_missing", f"connection {link.number}", Severity.ERROR, text)


def _waiting(pool: Pool, link: Link) -> str:
    """Say which instruments a connection keeps waiting; a mirrored one is brought by another."""
    mirrors = pool.assigned.mirrors
    waiting = [token for token in link.rows if mirrors.get(token) != link.number]
    elsewhere = len(link.rows) - len(waiting)
    mirrored = f"; {elsewhere} mirrored ones go on" if elsewhere else ""
    return f"{len(waiting)} instruments wait for it{_named(pool, waiting)}{mirrored}"


def _named(pool: Pool, tokens: Collection[int]) -> str:
    """Name some of them, the most urgent first."""
    wants = pool.ledger.desired
    known = (token for token in tokens if token in wants)
    found = heapq.nsmallest(_NAMED, known, key=lambda token: (-wants[token].priority, token))
    names = ", ".join(map(str, found))
    more = f" and {len(tokens) - len(found)} more" if len(tokens) > len(found) else ""
    return f": {names}{more}" if names else ""


def _places(pool: Pool, name: str) -> Iterator[Fact]:
    if pool.unplaced:
        reasons = sorted({why.text for why in pool.unplaced.values()})
        count = len(pool.unplaced)
        names = _named(pool, pool.unplaced)
        text = f"{count} instruments have no connection{names}: {'; '.join(reasons)}"
        yield Fact("orphans", name, Severity.ERROR, text)
    if refused := pool.mirrors.refused:
        reasons = sorted({why.text for why in refused.values()})
        text = f"{len(refused)} instruments that two connections shall carry have one alone: "
        yield Fact("mirror_single", name, Severity.WARNING, text + "; ".join(reasons))
    for window, why in pool.stuck_windows.items():
        yield Fact("window_stuck", window, Severity.WARNING, why)


def _limits(pool: Pool) -> Iterator[Fact]:
    for number, limit in pool.refusals.limits.items():
        text = f"the broker takes no more than {limit} instruments there: lower the pool's limit"
        yield Fact("over_limit", f"connection {number}", Severity.WARNING, text)


def _decoders(pool: Pool, watch: Watch) -> Iterator[Fact]:
    for reading in watch.decoders:
        if reading.hung and reading.number in pool.assigned.slots:
            text = "it gives no sign of life, and nothing of its connections is published"
            yield Fact("decoder_hung", f"decoder {reading.number}", Severity.ERROR, text)


def _connection(link: Link, reading: Reading, watch: Watch, waiting: str) -> Iterator[Fact]:
    subject = f"connection {link.number}"
    if reading.hung and reading.alive:
        yield Fact("connection_hung", subject, Severity.ERROR, "its feed gives no sign of life")
    elif reading.state in _STATES:
        kind, severity, text = _STATES[reading.state]
        where = f"account {link.account}" if kind != "circuit_open" else subject
        yield Fact(kind, where, severity, text)
    elif link.is_down and link.rows:
        why = reading.reason.name.lower().replace("_", " ")
        text = f"{reading.state.name} ({why}); {waiting}"
        yield Fact("connection_down", subject, Severity.ERROR, text)
    if reading.unconfirmed:
        names = ", ".join(map(str, reading.unconfirmed[:_NAMED]))
        more = f" and {len(reading.unconfirmed) - _NAMED} more"
        text = f"no packet for {names}{more if len(reading.unconfirmed) > _NAMED else ''}"
        yield Fact("unconfirmed", subject, Severity.WARNING, text)
    if reading.ring_fill >= LAG_FILL:
        text = f"its decoder is behind: the frame ring is {100 * reading.ring_fill:.0f} % full"
        yield Fact("decoder_lag", subject, Severity.WARNING, text)
    if watch.histories[link.number].overruns_per_min:
        text = "its decoder was too slow, and frames were lost"
        yield Fact("decoder_overrun", subject, Severity.ERROR, text)
    history = watch.histories[link.number]
    if history.server_errors_per_min:
        is_capacity = _CAPACITY.search(history.refusal) is not None
        text = f"the broker says: {history.refusal or 'see its text messages'}"
        kind = "capacity" if is_capacity else "broker_error"
        yield Fact(kind, subject, Severity.ERROR if is_capacity else Severity.WARNING, text)
