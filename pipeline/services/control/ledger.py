"""Who wants which instrument in which mode: the desired set. Floor 4; pure, time is passed in.

Clients may want the same instrument; it is wanted as long as one of them does, in the highest mode
that one of them asked for, at the highest priority, with the pins of the first that pinned it. What
a client wants outlives its connection by a grace, so that a restart costs nobody anything.

A client may have parts: demands of their own that live and end with it, such as windows. So an
instrument that a part gives up stays if the client, or another part of it, wants it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.planning.pool import Want


@dataclass
class Client:
    """One client's demand. `gone_ns`: since when it has no connection, None while it has one.

    `whole`: the client that it is a part of; `parts`: the names of a client's parts.
    """

    name: str
    pid: int = 0
    durable: bool = False
    wants: dict[int, Want] = field(default_factory=dict)
    gone_ns: int | None = None
    whole: str | None = None
    parts: set[str] = field(default_factory=set)

    @property
    def is_idle(self) -> bool:
        """Whether it wants nothing."""
        return not self.wants and not self.parts


class Ledger:
    """All clients' demands, and what they come to: `desired`, by instrument token."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.desired: dict[int, Want] = {}
        self._changed: dict[int, None] = {}  # in the order of the requests
        self._holders: dict[int, dict[str, Want]] = {}

    def join(self, name: str, *, pid: int = 0, durable: bool = False) -> Client:
        """Return the client of that name, new or back again."""
        client = self.clients.setdefault(name, Client(name))
        client.pid, client.durable, client.gone_ns = pid, durable, None
        return client

    def leave(self, name: str, now_ns: int) -> None:
        """Take note that a client's connection ended; its demand lingers, if it has one."""
        client = self.clients.get(name)
        if client is None or (client.durable and not client.is_idle):
            return
        if client.is_idle:
            self.forget(name)
        else:
            client.gone_ns = now_ns

    def attach(self, whole: str, part: str) -> Client:
        """Return the part of that name of a client, new or known already."""
        found = self.clients.setdefault(part, Client(part))
        found.whole, found.durable = whole, self.clients[whole].durable
        self.clients[whole].parts.add(part)
        return found

    def expire(self, now_ns: int, linger_ns: int) -> list[str]:
        """Forget the clients that have been away for longer; return their names."""
        expired = [
            client.name
            for client in self.clients.values()
            if client.gone_ns is not None and now_ns - client.gone_ns >= linger_ns
        ]
        for name in expired:
            self.forget(name)
        return expired

    def forget(self, name: str) -> None:
        """Drop a client, or a part of one, and all that it wants."""
        client = self.clients.pop(name, None)
        if client is None:
            return
        self._drop(name, client.wants)
        for part in client.parts:
            self.forget(part)
        if client.whole in self.clients:
            self.clients[client.whole].parts.discard(name)

    def replace(self, name: str, wants: Mapping[int, Want]) -> None:
        """Make this a client's whole demand."""
        before = self.clients[name].wants
        self._drop(name, before.keys() - wants.keys())
        self._put(name, wants)
        self.clients[name].wants = dict(wants)

    def add(self, name: str, wants: Mapping[int, Want]) -> None:
        """Add to a client's demand; what it wanted before is wanted as it says now."""
        self._put(name, wants)
        self.clients[name].wants.update(wants)

    def remove(self, name: str, tokens: Iterable[int]) -> int:
        """Take instruments out of a client's demand; return how many it had wanted."""
        wants = self.clients[name].wants
        found = [token for token in tokens if wants.pop(token, None) is not None]
        self._drop(name, found)
        return len(found)

    def with_added(self, name: str, wants: Mapping[int, Want]) -> dict[int, Want]:
        """Return what `desired` would become for these instruments, changing nothing."""
        found = {}
        for token, want in wants.items():
            holders = self._holders.get(token, {})
            found[token] = effective({**holders, name: want}.values())
        return found

    def take_changed(self) -> list[int]:
        """Return the instruments whose want has changed since the last call, as they were asked."""
        changed, self._changed = list(self._changed), {}
        return changed

    def holders(self, token: int) -> Mapping[str, Want]:
        """Return who wants an instrument, and how."""
        return self._holders.get(token, {})

    def holder_names(self, token: int) -> set[str]:
        """Return the clients that want an instrument, by themselves or by a part."""
        return {self.clients[name].whole or name for name in self.holders(token)}

    def wants_of(self, name: str) -> dict[int, Want]:
        """Return all that a client wants, by itself and by its parts."""
        client = self.clients[name]
        found: dict[int, Want] = {}
        for wants in (*(self.clients[part].wants for part in client.parts), client.wants):
            for token, want in wants.items():
                found[token] = effective((want, found[token])) if token in found else want
        return found

    def _put(self, name: str, wants: Mapping[int, Want]) -> None:
        for token, want in wants.items():
            holders = self._holders.setdefault(token, {})
            if holders.get(name) == want:
                continue
            holders[name] = want
            self._settle(token, holders)

    def _drop(self, name: str, tokens: Iterable[int]) -> None:
        for token in tokens:
            holders = self._holders.get(token)
            if holders is not None and holders.pop(name, None) is not None:
                self._settle(token, holders)

    def _settle(self, token: int, holders: Mapping[str, Want]) -> None:
        if holders:
            want = effective(holders.values())
            if self.desired.get(token) == want:
                return
            self.desired[token] = want
        else:
            del self.desired[token], self._holders[token]
        self._changed[token] = None


def effective(wants: Iterable[Want]) -> Want:
    """Return what several wants of one instrument come to."""
    first, *others = wants
    if not others:
        return first
    every = (first, *others)
    return first._replace(
        mode=max(want.mode for want in every),
        priority=max(want.priority for want in every),
        group=next((want.group for want in every if want.group is not None), None),
        account=next((want.account for want in every if want.account is not None), None),
        connection=next((want.connection for want in every if want.connection is not None), None),
    )
