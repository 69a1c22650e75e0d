"""What the pool needs of the world: `outside` gives it, or a stand-in of the tests. Floor 4."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from pipeline.services.control.kept import Kept
from pipeline.services.control.links import Link, Report, Row
from pipeline.services.control.outside import TopologyRow
from pipeline.services.control.text_ring import Text


class Surroundings(Protocol):
    """What the pool needs of the world: shared memory, or a test's stand-in."""

    @property
    def present(self) -> frozenset[int]:
        """The connections that have segments."""

    def read_topology(self) -> list[TopologyRow]:
        """The topology as it is."""

    def write_topology(self, rows: Iterable[TopologyRow], accounts: Collection[int]) -> None:
        """Say which connections there shall be of these accounts; others' stay as they are."""

    def report(self, number: int) -> Report:
        """What a connection's pages say."""

    def write(self, link: Link) -> bool:
        """Write a connection's assignment; False when it has no table yet."""

    def read_rows(self, number: int) -> dict[int, Row]:
        """A connection's assignment as it is."""

    def decoded_until(self, number: int) -> int:
        """When the newest message was received that is decoded, monotonic ns; 0 = none."""

    def has_backlog(self, number: int) -> bool:
        """Whether a connection has received what its decoder has not got to yet."""

    def first_packets(self, number: int, tokens: Iterable[int], slots: Iterable[int]) -> list[int]:
        """When each instrument's first packet came, monotonic ns; 0 = not yet."""

    def has_ticked(self, number: int, token: int, slot: int) -> bool:
        """Whether an instrument's first packet has come since its table has it, of any epoch."""

    def texts(self, number: int) -> list[Text]:
        """The texts that have come on a connection since the last call."""

    def read_kept(self, owner: str | None) -> Kept:
        """What of an owner's pool is in no table."""

    def keep(self, owner: str | None, kept: Kept) -> None:
        """Keep that for a control process after this one; cheap when it is kept already."""
