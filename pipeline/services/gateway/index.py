"""Who gets what: owner, then instrument token, then mode, then outboxes. Floor 4; pure.

Integers all the way: names are resolved when a client subscribes. A table belongs to one owner, and
a tick is looked up in the table of the owner whose connection brought it: there is no way from one
owner's tick to another's client, whatever a client says.
"""

from __future__ import annotations

from typing import Final

from pipeline.services.gateway.outbox import Outbox, slot_of

_NOBODY: Final[dict[int, list[Entry]]] = {}


class Entry:
    """An instrument under one of its names, as clients of one owner subscribed to it."""

    __slots__ = ("_clients", "deliveries", "key", "owner", "token")

    def __init__(self, key: int, owner: str, token: int) -> None:
        self.key = key
        self.owner = owner
        self.token = token
        self._clients: dict[int, dict[Outbox, None]] = {}
        #: (mode, slot, outboxes) of each mode that somebody has.
        self.deliveries: list[tuple[int, int, dict[Outbox, None]]] = []

    @property
    def mode(self) -> int:
        """The highest mode that somebody has; 0 when nobody has any."""
        return max(self._clients, default=0)

    def add(self, mode: int, outbox: Outbox) -> bool:
        """Add a client; return whether it is new here."""
        clients = self._clients.setdefault(mode, {})
        if outbox in clients:
            return False
        clients[outbox] = None
        self._rebuild()
        return True

    def remove(self, mode: int, outbox: Outbox) -> bool:
        """Remove a client; return whether it was here."""
        clients = self._clients.get(mode)
        if clients is None or outbox not in clients:
            return False
        del clients[outbox]
        if not clients:
            del self._clients[mode]
        self._rebuild()
        return True

    def modes_of(self, outbox: Outbox) -> list[int]:
        """Return the modes that a client has of it."""
        return [mode for mode, clients in self._clients.items() if outbox in clients]

    def _rebuild(self) -> None:
        self.deliveries = [
            (mode, slot_of(self.key, mode), clients)
            for mode, clients in sorted(self._clients.items())
        ]


class Index:
    """All subscriptions; `subscriptions` counts them, by client, instrument and mode."""

    def __init__(self) -> None:
        self.subscriptions = 0
        self._tables: dict[str, dict[int, list[Entry]]] = {}
        self._entries: dict[int, Entry] = {}

    def __len__(self) -> int:
        """How many instruments somebody has."""
        return sum(map(len, self._tables.values()))

    def table(self, owner: str) -> dict[int, list[Entry]]:
        """Return an owner's entries by instrument token; what is nobody's has none."""
        return self._tables.setdefault(owner, {}) if owner else _NOBODY

    def mode(self, owner: str, token: int) -> int:
        """Return the highest mode that an owner's clients have of an instrument."""
        return max((entry.mode for entry in self.table(owner).get(token, ())), default=0)

    def add(self, owner: str, token: int, key: int, mode: int, outbox: Outbox) -> None:
        """Let a client have an instrument's mode; again is nothing."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry(key, owner, token)
            self.table(owner).setdefault(token, []).append(entry)
        self.subscriptions += entry.add(mode, outbox)

    def remove(self, key: int, mode: int | None, outbox: Outbox) -> Entry | None:
        """Take an instrument's mode, or all of them, from a client; return what it had been in."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        for gone in entry.modes_of(outbox) if mode is None else (mode,):
            self.subscriptions -= entry.remove(gone, outbox)
            outbox.forget(slot_of(key, gone))
        if not entry.deliveries:
            del self._entries[key]
            entries = self.table(entry.owner)[entry.token]
            entries.remove(entry)
            if not entries:
                del self.table(entry.owner)[entry.token]
        return entry
