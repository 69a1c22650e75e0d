"""The assigned set: which connection carries which instrument, with which slot. Floor 4.

Bookkeeping only: who decides is `pool`, `moves` and `upkeep`. `placement` says who owns each
instrument; while it moves, a second connection has a row of it, too, and one that `mirrors` names
has it for as long as the instrument is mirrored; `absences` since when what is on none was on none.
`write` brings what changed into the tables,
`adopt` takes over what a control process before this one has left there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from pipeline.core.config import Config
from pipeline.core.enums import Mode
from pipeline.core.plan import Topology
from pipeline.planning.pool import NewConnection
from pipeline.services.control.absences import Absences
from pipeline.services.control.keys import Key, keys_of
from pipeline.services.control.links import Link, Row
from pipeline.services.control.outside import TopologyRow
from pipeline.services.control.slots import Slots
from pipeline.services.control.surroundings import Surroundings
from pipeline.services.control.tally import NUMBERS_MAX, AccountCounters, Counters, Tally


class Assigned:
    """Connections and their rows, of one owner's accounts; `owner` None: of all."""

    def __init__(
        self, config: Config, topology: Topology, outside: Surroundings, *,
        owner: str | None = None, tally: Tally | None = None,
    ) -> None:  # fmt: skip
        self.links: dict[int, Link] = {}
        self.placement: dict[int, int] = {}
        #: The second connection of what is mirrored; of each there is an owner, and a row on both.
        self.mirrors: dict[int, int] = {}
        self.keys = keys_of(config, owner)
        self.of_account = {key.account: AccountCounters() for key in self.keys}
        own = range(config.decoder.count) if owner is None else config.decoders_of(owner)
        self.slots = {
            decoder.number: Slots(decoder.slots)
            for decoder in topology.decoders
            if decoder.number in own
        }
        self._outside = outside
        self._tally = tally or Tally()
        self._topology_changed = False
        self._owner_epoch = 0
        self.absences = Absences(self.links, outside)
        #: What `adopt` found in tables and could not leave there.
        self.strays: dict[int, Mode] = {}

    @property
    def counters(self) -> Counters:
        """What has been done, by all owners together."""
        return self._tally.counters

    @property
    def has_numbers(self) -> bool:
        """Whether connections can be opened: each needs a number that none had before it."""
        return self._tally.upcoming < NUMBERS_MAX

    # ---- connections ------------------------------------------------------------------------

    def ever_was(self, number: int) -> bool:
        """Whether there is, or was once, a connection of this number."""
        return number in self.links or 0 <= number < self._tally.upcoming

    def open(self, new: NewConnection, now_ns: int) -> Link:
        """Want a connection more; return it."""
        key = next(key for key in self.keys if key.account == new.account)
        number = self._tally.take()
        link = self.links[number] = Link(
            number=number,
            account=new.account,
            account_index=key.index,
            decoder=new.decoder,
            seat=new.seat,
            capacity=key.instruments_per_connection,
            opened_mono_ns=now_ns,
        )
        self.of_account[link.account].connections_opened += 1
        self._topology_changed = True
        return link

    def open_all(self, new: Iterable[NewConnection], now_ns: int) -> dict[int, int]:
        """Open what a plan opens; return the number of each reference."""
        return {each.ref: self.open(each, now_ns).number for each in new}

    def close(self, link: Link) -> None:
        """Want a connection no more; it is forgotten once it is gone."""
        link.wanted = False
        self._topology_changed = True

    def drain(self, link: Link, to: Collection[int] | None) -> None:
        """Have what a connection carries go elsewhere; `to` None: wherever there is room."""
        link.draining, link.drain_to = True, None if to is None else tuple(to)
        self._topology_changed = True

    def stop_draining(self, link: Link) -> None:
        """Let a connection keep what it carries."""
        link.draining, link.drain_to = False, None
        self._topology_changed = True

    def empty(self, link: Link) -> list[int]:
        """Take all rows from a connection; return the instruments that have no owner now."""
        return [token for token in list(link.rows) if self.take_away(token, link)]

    def forget(self, link: Link) -> None:
        """Take note that a connection is gone, which was emptied before."""
        del self.links[link.number]
        self.counters.connections_closed += 1
        self._topology_changed = True

    # ---- instruments ------------------------------------------------------------------------

    def has_slot(self, token: int, link: Link) -> bool:
        """Whether a connection's decoder has a place for an instrument in its latest table."""
        slots = self.slots[link.decoder]
        return slots.free > 0 or slots.has(token)

    def assign(self, token: int, mode: Mode, link: Link) -> None:
        """Give a connection a row; whose the instrument is, `placement` says.

        Each has a higher owner epoch than all before it, so that a decoder that sees only the
        last of several tables knows that it was given anew.
        """
        slot = self.slots[link.decoder].take(token, link.number)
        self._owner_epoch += 1
        link.put(token, Row(mode, slot, self._owner_epoch, self.absences.begin(token)))

    def unassign(
        self, token: int, link: Link, *, until_ns: int | None = None, goes_on: bool = False
    ) -> None:
        """Take a row from a connection, which had nothing of it after `until_ns` (None: had).

        `goes_on`: another one has all that comes. Else, where none has ticked yet, its first tick
        ends a gap: from when this one was decoded last, or the one before, if none came here.
        """
        left_ns = 0 if goes_on else self.absences.had_until(token, link, until_ns)
        self._take(token, link)
        if left_ns:
            self.absences.hand_on(token, left_ns)

    def _take(self, token: int, link: Link) -> None:
        if self.mirrors.get(token) == link.number:
            del self.mirrors[token]
        link.take(token)
        self.slots[link.decoder].give_back(token)

    def take_away(self, token: int, link: Link, *, until_ns: int | None = None) -> bool:
        """Take a row from a connection; return whether the instrument has no owner then.

        What is mirrored is owned by its other half. `until_ns`: as for `unassign`.
        """
        self.unassign(token, link, until_ns=until_ns)
        if self.placement.get(token) != link.number:
            return False
        second = self.mirrors.pop(token, None)
        if second is None:
            del self.placement[token]
            return True
        self.placement[token] = second
        return False

    def mirror(self, token: int, mode: Mode, link: Link) -> None:
        """Have a second connection carry an instrument that has an owner."""
        self.assign(token, mode, link)
        self.mirrors[token] = link.number

    def swap(self, token: int) -> None:
        """Have the second half of an instrument own it; both go on carrying it."""
        self.placement[token], self.mirrors[token] = self.mirrors[token], self.placement[token]

    def pass_on(self, token: int, source: int, target: int) -> None:
        """Have a target be what a source was of an instrument: its owner, or its second half."""
        if self.placement.get(token) != source and self.mirrors.get(token) == source:
            self.mirrors[token] = target
        else:
            self.placement[token] = target

    def room(self, link: Link) -> int:
        """Return how many instruments a connection takes, were its second halves to give way."""
        room = link.capacity - len(link.rows)
        if room > 0 or not self.mirrors:
            return room
        return room + sum(number == link.number for number in self.mirrors.values())

    def let_go(self, token: int) -> None:
        """Take an instrument from every connection."""
        owner = self.links.get(self.placement.pop(token, -1))
        if owner is not None:
            self.counters.unsubscriptions += 1
            self.of_account[owner.account].unsubscriptions += 1
        for link in self.links.values():
            if token in link.rows:
                self._take(token, link)
        self.absences.forget(token)

    def set_mode(self, token: int, mode: Mode) -> None:
        """Change an instrument's mode wherever it is."""
        for link in self.links.values():
            row = link.rows.get(token)
            if row is not None:
                link.put(token, row._replace(mode=mode))

    # ---- tables -----------------------------------------------------------------------------

    def write(self) -> None:
        """Bring what has changed into the tables; what has no table yet stays to be written.

        An instrument comes into the table of its new connection before it leaves the old one's, so
        that this process may die at any moment, and its successor finds it in one of them; or else
        it is `adrift` before it leaves.
        """
        if self._topology_changed:
            accounts = {key.index for key in self.keys}
            self._outside.write_topology(map(_topology_row, self.links.values()), accounts)
            self._topology_changed = False
        unwritten = {n: link for n, link in self.links.items() if link.dirty}
        while unwritten:
            takers = [link for link in unwritten.values() if not self._gives(link, unwritten)]
            # Of those that take from each other one has to be the first.
            for link in takers or list(unwritten.values())[:1]:
                del unwritten[link.number]
                if not self._waits(link) and self._outside.write(link):
                    link.note_written()

    def adrift(self) -> set[int]:
        """Return the instruments that have a place and are not in its table yet."""
        own = self.placement
        return {t for n, link in self.links.items() for t in link.fresh if own.get(t) == n}

    def _gives(self, link: Link, unwritten: Mapping[int, Link]) -> bool:
        """Whether an instrument that a connection lost goes to one of these."""
        owners = {self.placement.get(token, -1) for token in link.lost} - {link.number}
        return not owners.isdisjoint(unwritten)

    def _waits(self, link: Link) -> bool:
        """Whether a connection keeps its table until one that is in the making has its own.

        Between decoders it does not: its slots are free for others at once.
        """
        owners = {self.placement.get(token, -1) for token in link.lost}
        making = [self.links[n] for n in owners & self.links.keys() - self._outside.present]
        return any(other.decoder == link.decoder for other in making)

    def adopt(
        self, now_ns: int, mirrors: Mapping[int, int] = MappingProxyType({})
    ) -> dict[int, tuple[int, int]]:
        """Take over what is in the tables; return {token: (source, target)} of what was moving.

        `mirrors` says which rows were second halves: of two rows, no table tells which is why.
        """
        accounts = {key.index: key for key in self.keys}
        for row in self._outside.read_topology():
            self._tally.note(row.number)
            key = accounts.get(row.account)
            if key is not None and row.decoder in self.slots:
                self.links[row.number] = _adopted_link(row, key, now_ns)
        self.strays = {}
        carriers: dict[int, list[Link]] = {}
        for link in self.links.values():
            for token, found in self._outside.read_rows(link.number).items():
                if self._adopt_row(token, found, link):
                    carriers.setdefault(token, []).append(link)
        moving: dict[int, tuple[int, int]] = {}
        for token, links in carriers.items():
            links.sort(key=lambda link: link.rows[token].owner_epoch)
            self._adopt_places(token, links, mirrors.get(token), moving)
        return moving

    def _adopt_row(self, token: int, row: Row, link: Link) -> bool:
        self._owner_epoch = max(self._owner_epoch, row.owner_epoch)
        if not self.slots[link.decoder].adopt(token, row.slot, link.number):
            link.dirty = True  # a row that cannot be: written anew without it
            self.strays[token] = row.mode
            return False
        link.rows[token] = row
        return True

    def _adopt_places(
        self, token: int, links: Sequence[Link], second: int | None,
        moving: dict[int, tuple[int, int]],
    ) -> None:  # fmt: skip
        """Find what an instrument's rows were for, which are by owner epoch."""
        *others, newest = links
        for link in others:
            if link.decoder != newest.decoder:
                self.unassign(token, link)  # both would deliver: it was to let go before
        numbers = [link.number for link in links if token in link.rows]
        if second in numbers and len(numbers) > 1:
            numbers.remove(second)
            self.mirrors[token] = second
        # A move was under way: who has the lower epoch is the source, and still the owner.
        source, *between = numbers
        self.placement[token] = source
        if between:
            moving[token] = source, between.pop()
        for number in between:
            self.unassign(token, self.links[number])


def _topology_row(link: Link) -> TopologyRow:
    return TopologyRow(
        number=link.number,
        account=link.account_index,
        decoder=link.decoder,
        seat=link.seat,
        instruments_max=link.size,
        wanted=link.wanted,
        draining=link.draining,
        # Of several a successor finds those with room again by itself; 0 was never opened for this.
        drain_to=link.drain_to[0] if link.drain_to and len(link.drain_to) == 1 else 0,
    )


def _adopted_link(row: TopologyRow, key: Key, now_ns: int) -> Link:
    return Link(
        number=row.number,
        account=key.account,
        account_index=row.account,
        decoder=row.decoder,
        seat=row.seat,
        capacity=row.instruments_max,
        opened_mono_ns=now_ns,
        wanted=row.wanted,
        draining=row.draining,
        drain_to=(row.drain_to,) if row.drain_to else None,
        dirty=False,
    )
