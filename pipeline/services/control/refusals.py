"""Subscriptions that the broker did not take: a connection carries less than was believed. Floor 4.

Brokers do not close a connection that asks for too much: an error text comes, and the new
instruments never tick. Whether those that would have fitted do is not documented. So: a while after
such a text, what ticks stays, what was asked for and does not tick leaves the connection, and the
connection's believed capacity is what was found, until the limit that the text names is tried once.

Wire facts: no documentation; the text is known from the broker's forum.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.brokers.contract import TextMessage
from pipeline.brokers.registry import load_broker
from pipeline.core.clock import NS_PER_S
from pipeline.services.control.assigned import Assigned
from pipeline.services.control.links import Link
from pipeline.services.control.moves import Moves
from pipeline.services.control.surroundings import Surroundings

#: A subscription is answered at once by each instrument's last state: after so long, what has
#: not come was not taken; and the feed has told the broker of what was taken away.
SETTLE_NS: Final = NS_PER_S

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Pending:
    """An error text whose effect shows at `judge_ns`; `tokens` were assigned when it came."""

    connection_epoch: int
    tokens: frozenset[int]
    named: int | None
    receive_ns: int
    judge_ns: int


class Refusals:
    """What brokers refused, by connection; `limits` are the capacities that were lowered so."""

    def __init__(
        self, assigned: Assigned, moves: Moves, outside: Surroundings, now_ns: int
    ) -> None:
        self.limits: dict[int, int] = {}
        self._assigned = assigned
        self._moves = moves
        self._outside = outside
        self._since_ns = now_ns
        self._pending: dict[int, _Pending] = {}
        self._to_try: dict[int, tuple[int, int]] = {}  # when, and which capacity
        self._sessions = {key.account: load_broker(key.broker).session for key in assigned.keys}

    @property
    def is_busy(self) -> bool:
        """Whether something is to be judged or tried soon."""
        return bool(self._pending or self._to_try)

    def turn(self, now_ns: int) -> list[int]:
        """Read what came and judge what is due; return the instruments without a place now."""
        links = self._assigned.links
        for gone in (
            self.limits.keys() | self._pending.keys() | self._to_try.keys()
        ) - links.keys():
            for known in (self.limits, self._pending, self._to_try):
                known.pop(gone, None)
        for link in links.values():
            self._listen(link, now_ns)
        self._try_again(links, now_ns)
        freed: list[int] = []
        for number, pending in list(self._pending.items()):
            if now_ns >= pending.judge_ns:
                del self._pending[number]
                freed += self._judge(links[number], pending, now_ns)
        return freed

    def _listen(self, link: Link, now_ns: int) -> None:
        for text in self._outside.texts(link.number):
            message = self._sessions[link.account].parse_text(text.payload)
            if message.instruments_max is None:
                continue
            if text.receive_mono_ns < self._since_ns:
                self._remember(link, message)
            elif text.connection_epoch == link.report.connection_epoch:
                self._pending[link.number] = _Pending(
                    text.connection_epoch, frozenset(link.rows), message.instruments_max,
                    text.receive_mono_ns, now_ns + SETTLE_NS,
                )  # fmt: skip

    def _remember(self, link: Link, message: TextMessage) -> None:
        """Believe what was said to a control process before this one, which has acted on it."""
        named = message.instruments_max
        if named is not None and len(link.rows) <= named < link.capacity:
            link.capacity = self.limits[link.number] = named

    def _judge(self, link: Link, pending: _Pending, now_ns: int) -> list[int]:
        if link.report.connection_epoch != pending.connection_epoch:
            return []  # a new connection asks anew, and is answered anew
        tokens = [token for token in link.rows if token in pending.tokens]
        slots = [link.rows[token].slot for token in tokens]
        times = self._outside.first_packets(link.number, tokens, slots)
        silent = [token for token, first_ns in zip(tokens, times, strict=True) if not first_ns]
        asked = len(link.rows)
        freed = [token for token in silent if self._take_away(token, link, pending.receive_ns)]
        self._lower(link, len(link.rows))
        named = pending.named
        if named is not None and len(link.rows) < named < asked:
            self._to_try[link.number] = now_ns + SETTLE_NS, named
        _log.warning(
            f"connection {link.number}: the broker takes no more than {named} instruments and was "
            f"asked for {asked}; {len(silent)} that do not tick go elsewhere"
        )
        return freed

    def _take_away(self, token: int, link: Link, until_ns: int) -> bool:
        """Take an instrument from a connection; return whether it was its owner."""
        moving = self._moves.under_way.get(token)
        if moving is None or link.number not in (moving.source, moving.target):
            return self._assigned.take_away(token, link, until_ns=until_ns)
        self._moves.drop(token)
        if moving.source == link.number:  # its target has it, too
            self._assigned.pass_on(token, link.number, moving.target)
        self._assigned.unassign(token, link, until_ns=until_ns)
        return False

    def _lower(self, link: Link, capacity: int) -> None:
        if capacity < link.capacity:
            link.capacity = self.limits[link.number] = capacity

    def _try_again(self, links: Mapping[int, Link], now_ns: int) -> None:
        """Believe the limit that was named, now that the broker was told of what has gone."""
        for number, (due_ns, named) in list(self._to_try.items()):
            if now_ns >= due_ns:
                del self._to_try[number]
                link = links[number]
                link.capacity = self.limits[number] = min(max(named, link.capacity), link.size)
