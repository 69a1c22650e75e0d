"""From the assignment to commands: what the wire lacks, and nothing else. Floor 3.

Level-triggered: the assignment table is the only truth. Each change of it, and each new
connection, gives the difference to what this connection has been told; a change while commands
are still going out starts a new difference from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from pipeline.brokers.contract import Command, Session
from pipeline.core.enums import Mode
from pipeline.shm.tables import AssignmentTable, WireTable


class Subscriptions:
    """The wanted and the told instruments of one connection epoch."""

    def __init__(
        self,
        session: Session,
        assignment: AssignmentTable,
        wire: WireTable,
        *,
        connection_epoch: int,
    ) -> None:
        self._session = session
        self._assignment = assignment
        self._wire = wire
        self._epoch = connection_epoch
        self.version = -1  # of the assignment that `wanted` is
        self._commands: Iterator[Command] = iter(())
        self._changed = True
        self.wanted: dict[int, Mode] = {}
        self.on_wire: dict[int, Mode] = {}
        self.publish()

    def follow(self) -> bool:
        """Look at the assignment; return whether it changed."""
        if self._assignment.version == self.version:
            return False
        self.version, self.wanted = self._assignment.read_modes()
        self._restart()
        return True

    def ask_again(self) -> None:
        """Let go of everything and ask for it anew, which gets an answer for each instrument.

        Never a subscription on top of one: brokers count an instrument twice that is asked for
        twice, and refuse what is then too many.
        """
        session, told = self._session, dict(self.on_wire)
        self._commands = chain(
            session.commands(wanted={}, on_wire=told),
            session.commands(wanted=self.wanted, on_wire={}),
        )

    def ask_for_modes(self, tokens: Iterable[int]) -> None:
        """Say once more in which mode these instruments are wanted."""
        for token in tokens:
            wanted = self.wanted.get(token)
            if wanted is not None and token in self.on_wire:
                self.on_wire[token] = Mode.QUOTE if wanted is Mode.LTP else Mode.LTP
        self._restart()

    def next_command(self) -> str | None:
        """Return the next message to send, None when the wire has been told everything."""
        command = next(self._commands, None)
        if command is None:
            return None
        for token, mode in command.wire:
            if mode is Mode.NONE:
                self.on_wire.pop(token, None)
            else:
                self.on_wire[token] = mode
        self._changed = True
        return command.payload

    def publish(self) -> None:
        """Write the wire table, if it is not up to date."""
        if self._changed:
            self._wire.write_modes(self.on_wire, connection_epoch=self._epoch)
            self._changed = False

    def _restart(self) -> None:
        self._commands = self._session.commands(wanted=self.wanted, on_wire=dict(self.on_wire))
