"""The pool manager: it brings what is assigned in step with what is desired. Floor 4.

    desired (ledger) -> assigned (the links' rows) -> wire (the feeds) -> confirmed (the decoders)

`turn` is called often and waits for nothing; what it decides comes from `pipeline.planning`, what
it says goes into tables through `outside`. Whatever is desired and has no place is in `unplaced`
with the reason: nothing is lost silently. A move is made before it is broken: the instrument is
assigned to its new connection, whose first packet flips the owner; only then it leaves the old.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from pipeline.core.clock import NS_PER_S
from pipeline.core.config import Config
from pipeline.core.enums import State
from pipeline.core.plan import Topology
from pipeline.planning.placement import place
from pipeline.planning.policies import Growth, PlacementPolicy, Policy
from pipeline.planning.pool import (
    ConnectionView,
    KeyView,
    Move,
    NewConnection,
    Plan,
    PoolView,
    Priority,
    Turn,
    Want,
    Why,
)
from pipeline.planning.redistribution import OutagePolicy, judge_outage, redistribute
from pipeline.services.control.ledger import Ledger
from pipeline.services.control.links import Link, Report, Row, Slots
from pipeline.services.control.outside import TopologyRow

HEALTHY: Final = frozenset({State.LIVE, State.QUIET})
#: A feed beats every half second at least; one that does not for so long is not well.
SILENT_NS: Final = NS_PER_S
#: A key with a connection in one of these may not open another.
BARRED: Final = frozenset({State.AUTH_EXPIRED, State.LIMITED})
#: What has no place is looked at again so often, should nothing have happened.
LOOK_AGAIN_NS: Final = NS_PER_S
#: After a restart nothing is taken away for so long: the clients have to come back first.
ADOPTION_NS: Final = 60 * NS_PER_S
ADOPTED: Final = "(adopted)"

_log = logging.getLogger(__name__)


class Surroundings(Protocol):
    """What the pool needs of the world: shared memory, or a test's stand-in."""

    @property
    def present(self) -> frozenset[int]:
        """The connections that have segments."""

    def read_topology(self) -> list[TopologyRow]:
        """The topology as it is."""

    def write_topology(self, rows: Iterable[TopologyRow]) -> None:
        """Say which connections there shall be."""

    def report(self, number: int) -> Report:
        """What a connection's pages say."""

    def write(self, link: Link) -> bool:
        """Write a connection's assignment; False when it has no table yet."""

    def read_rows(self, number: int) -> dict[int, Row]:
        """A connection's assignment as it is."""

    def first_packets(self, number: int, tokens: Iterable[int], slots: Iterable[int]) -> list[int]:
        """When each instrument's first packet came, monotonic ns; 0 = not yet."""


@dataclass
class Counters:
    """What the pool has done since its instance began; the page keeps it over restarts."""

    subscriptions: int = 0
    unsubscriptions: int = 0
    connections_opened: int = 0
    connections_closed: int = 0
    moves_begun: int = 0
    moves_done: int = 0
    moves_failed: int = 0
    moves_broken: int = 0


@dataclass(frozen=True, slots=True)
class Moving:
    """An instrument under way: assigned to both, owned by the source until `target` delivers."""

    source: int
    target: int
    begun_mono_ns: int


class Pool:
    """The assigned set and how it changes."""

    def __init__(
        self, config: Config, topology: Topology, outside: Surroundings, now_ns: int
    ) -> None:
        assert config.pool is not None
        self.ledger = Ledger()
        self.counters = Counters()
        self.links: dict[int, Link] = {}
        self.placement: dict[int, int] = {}
        self.moving: dict[int, Moving] = {}
        self.unplaced: dict[int, Why] = {}
        self.policy = policy_of(config)
        self._config = config
        self._settings = config.pool
        self._outside = outside
        self._keys = _keys(config)
        self._slots = {d.number: Slots(d.slots) for d in topology.decoders}
        self._turn = Turn()
        self._next_number = 0
        self._topology_changed = False
        self._plan_again_ns = 0
        self._leave_again_ns = 0
        self._adopted_until_ns = 0
        redistribute_ns = round(config.pool.redistribute_after_s * NS_PER_S)
        self._outages = OutagePolicy(redistribute_after_ns=redistribute_ns)
        self._confirm_ns = round(config.pool.confirm_after_s * NS_PER_S)
        self._linger_ns = round(config.pool.linger_s * NS_PER_S)
        self._adopt(now_ns)

    # ---- views ------------------------------------------------------------------------------

    def view(self, *, ideal: bool = False) -> PoolView:
        """Return the pool as planning sees it; `ideal`: as if every connection were well."""
        barred = set() if ideal else {
            link.account for link in self.links.values() if link.report.state in BARRED
        }  # fmt: skip
        return PoolView(
            connections=tuple(_connection_view(link, ideal) for link in self.links.values()),
            keys=tuple(
                KeyView(
                    account=key.account,
                    broker=key.broker,
                    connections_max=key.connections_max,
                    instruments_per_connection=key.instruments_per_connection,
                    may_open=key.account not in barred,
                )
                for key in self._keys
            ),
            placement=self.placement,
            wants=self.ledger.desired,
            moving={token: moving.target for token, moving in self.moving.items()},
            decoders=len(self._slots),
        )

    def plan(self, wants: Mapping[int, Want], *, all_or_nothing: bool) -> Plan:
        """Say what would become of these wants.

        Judged is what the keys can carry when all is well: an outage of today refuses nobody, and
        what has no place for now waits for one.
        """
        self._follow_ledger()  # what was asked for since the last turn waits, too
        waiting = [w for token in self.unplaced if (w := self.ledger.desired.get(token))]
        asked = [want for token, want in wants.items() if token not in self.unplaced]
        found = place([*waiting, *asked], self.view(ideal=True), self.policy, turn=self._turn)
        refused = tuple(refusal for refusal in found.refused if refusal.token in wants)
        if all_or_nothing and refused:
            return Plan(assign={}, refused=refused, kept=found.kept, available=found.available)
        return Plan(
            assign={token: at for token, at in found.assign.items() if token in wants},
            open=found.open,
            refused=refused,
            kept=found.kept,
            available=found.available,
        )

    # ---- the turn ---------------------------------------------------------------------------

    def turn(self, now_ns: int) -> None:
        """Bring everything one step on, where it can be."""
        self._end_adoption(now_ns)
        for name in self.ledger.expire(now_ns, self._linger_ns):
            _log.info(f"client {name} has been away for long: what it wanted is let go")
        self._observe(now_ns)
        self._finish_moves(now_ns)
        self._follow_ledger()
        self._leave_links(now_ns)
        self._place(now_ns)
        self._close_links()
        self._write()

    def _observe(self, now_ns: int) -> None:
        present = self._outside.present
        for link in list(self.links.values()):
            before = link.report
            link.report = self._outside.report(link.number)
            link.was_present = link.was_present or link.number in present
            if link.was_present and link.number not in present and not link.wanted:
                self._forget(link)
                continue
            link.is_healthy = _is_healthy(link.report, now_ns)
            if link.is_healthy:
                link.healthy_mono_ns, link.was_healthy = now_ns, True
            was_down = link.is_down
            down_ns = now_ns - link.healthy_mono_ns
            link.is_down = down_ns >= self._outages.redistribute_after_ns
            if (link.report.state, link.is_down) != (before.state, was_down):
                self._plan_again_ns = self._leave_again_ns = 0

    def _forget(self, link: Link) -> None:
        for token in list(link.rows):
            self._unassign(token, link)
        del self.links[link.number]
        self.counters.connections_closed += 1
        self._topology_changed = True
        self._plan_again_ns = 0

    # ---- desired ----------------------------------------------------------------------------

    def _follow_ledger(self) -> None:
        for token in self.ledger.take_changed():
            want = self.ledger.desired.get(token)
            if want is None:
                self._let_go(token)
            elif token in self.placement:
                self._set_mode(token, want)
            else:
                self.unplaced.setdefault(token, Why.NO_CONNECTION)
                self._plan_again_ns = 0

    def _let_go(self, token: int) -> None:
        self.unplaced.pop(token, None)
        self.moving.pop(token, None)
        if self.placement.pop(token, None) is not None:
            self.counters.unsubscriptions += 1
        for link in self.links.values():
            if token in link.rows:
                self._unassign(token, link)

    def _set_mode(self, token: int, want: Want) -> None:
        for link in self.links.values():
            row = link.rows.get(token)
            if row is not None:
                link.put(token, row._replace(mode=want.mode))

    # ---- assigned ---------------------------------------------------------------------------

    def _place(self, now_ns: int) -> None:
        if not self.unplaced or now_ns < self._plan_again_ns:
            return
        self._plan_again_ns = now_ns + LOOK_AGAIN_NS
        wants = [self.ledger.desired[token] for token in self.unplaced]
        plan = place(wants, self.view(), self.policy, turn=self._turn)
        numbers = {new.ref: self._open(new, now_ns) for new in plan.open}
        plan = plan.numbered(numbers)
        self._turn = plan.turn
        for token, number in plan.assign.items():
            self._assign(token, self.links[number])
            self.placement[token] = number
            del self.unplaced[token]
        self.counters.subscriptions += len(plan.assign)
        for refusal in plan.refused:
            self.unplaced[refusal.token] = refusal.why

    def _open(self, new: NewConnection, now_ns: int) -> int:
        key = next(key for key in self._keys if key.account == new.account)
        number, self._next_number = self._next_number, self._next_number + 1
        self.links[number] = Link(
            number=number,
            account=new.account,
            account_index=key.index,
            decoder=new.decoder,
            seat=new.seat,
            capacity=key.instruments_per_connection,
            opened_mono_ns=now_ns,
            healthy_mono_ns=now_ns,
        )
        self.counters.connections_opened += 1
        self._topology_changed = True
        return number

    def _assign(self, token: int, link: Link, owner_epoch: int = 1) -> None:
        mode = self.ledger.desired[token].mode
        slot = self._slots[link.decoder].take(token)
        link.put(token, Row(mode, slot, owner_epoch))

    def _unassign(self, token: int, link: Link) -> None:
        link.take(token)
        self._slots[link.decoder].give_back(token)

    # ---- moving -----------------------------------------------------------------------------

    def begin_move(self, move: Move, now_ns: int) -> None:
        """Assign an instrument to its target, too; or, across decoders, leave the source first."""
        source, target = self.links[move.source], self.links[move.target]
        epoch = source.rows[move.token].owner_epoch + 1
        if move.break_before_make:
            self._unassign(move.token, source)
            self.placement[move.token] = target.number
            self.counters.moves_broken += 1
        else:
            self.moving[move.token] = Moving(source.number, target.number, now_ns)
            self.counters.moves_begun += 1
        self._assign(move.token, target, epoch)

    def _finish_moves(self, now_ns: int) -> None:
        by_target: dict[int, list[int]] = {}
        for token, moving in self.moving.items():
            by_target.setdefault(moving.target, []).append(token)
        for number, tokens in by_target.items():
            target = self.links.get(number)
            if target is None:
                continue
            slots = [target.rows[token].slot for token in tokens]
            times = self._outside.first_packets(number, tokens, slots)
            for token, first_ns in zip(tokens, times, strict=True):
                self._judge_move(token, first_ns, now_ns)

    def _judge_move(self, token: int, first_ns: int, now_ns: int) -> None:
        moving = self.moving[token]
        source, target = self.links.get(moving.source), self.links[moving.target]
        is_alone = source is None or (source.is_down and not target.is_down)
        if first_ns >= moving.begun_mono_ns or is_alone:
            self.placement[token] = target.number
            self.counters.moves_done += 1
            loser = source
        elif target.is_down or now_ns - moving.begun_mono_ns >= self._confirm_ns:
            # Quiet instruments have no first packet to show; then both carry it as well.
            self.counters.moves_failed += 1
            loser = target
        else:
            return
        del self.moving[token]
        if loser is not None and token in loser.rows:
            self._unassign(token, loser)

    # ---- connections that end ---------------------------------------------------------------

    def _leave_links(self, now_ns: int) -> None:
        """Take from connections that are down what others have room for."""
        if now_ns < self._leave_again_ns:
            return
        for link in list(self.links.values()):
            down_ns = now_ns - link.healthy_mono_ns
            if not link.rows or link.is_healthy or not link.wanted:
                continue
            least = judge_outage(self._outages, down_ns)
            if least is Priority.CRITICAL and not link.was_healthy:
                continue  # it has only just been opened
            if least is not None:
                self._leave_again_ns = now_ns + LOOK_AGAIN_NS
                self._leave(link, least, now_ns)

    def _leave(self, link: Link, least: Priority, now_ns: int) -> None:
        plan = redistribute((link.number,), self.view(), self.policy, least=least, turn=self._turn)
        numbers = {new.ref: self._open(new, now_ns) for new in plan.open}
        for token, number in plan.numbered(numbers).assign.items():
            epoch = link.rows[token].owner_epoch + 1
            self._unassign(token, link)
            self._assign(token, self.links[number], epoch)
            self.placement[token] = number
        if plan.assign:
            _log.warning(
                f"connection {link.number} is down: {len(plan.assign)} of its instruments moved, "
                f"{len(plan.refused)} wait for it to come back"
            )

    @property
    def is_busy(self) -> bool:
        """Whether something is under way, so that the next turn should come soon."""
        return bool(
            self.moving
            or self.unplaced
            or any(
                link.dirty or not link.wanted or not link.is_healthy for link in self.links.values()
            )
        )

    @property
    def orphans(self) -> dict[int, int]:
        """Instruments that nobody delivers: {token: connection that is down, or -1 for none}."""
        found = dict.fromkeys(self.unplaced, -1)
        for link in self.links.values():
            if link.is_down:
                owned = (t for t in link.rows if self.placement.get(t) == link.number)
                found.update(dict.fromkeys(owned, link.number))
        return found

    def _close_links(self) -> None:
        for link in self.links.values():
            if link.draining and link.wanted and not link.rows:
                link.wanted = False
                self._topology_changed = True

    # ---- into the tables --------------------------------------------------------------------

    def _write(self) -> None:
        if self._topology_changed:
            self._outside.write_topology(
                TopologyRow(
                    number=link.number,
                    account=link.account_index,
                    decoder=link.decoder,
                    seat=link.seat,
                    instruments_max=link.capacity,
                    wanted=link.wanted,
                )
                for link in self.links.values()
            )
            self._topology_changed = False
        for link in self.links.values():
            if link.dirty and self._outside.write(link):
                link.dirty = False

    # ---- after a restart --------------------------------------------------------------------

    def _adopt(self, now_ns: int) -> None:
        """Take over what a control process before this one has left, and remove nothing of it."""
        accounts = {key.index: key for key in self._keys}
        for row in self._outside.read_topology():
            key = accounts.get(row.account)
            self._next_number = max(self._next_number, row.number + 1)
            if key is None or row.decoder not in self._slots:
                continue
            self.links[row.number] = Link(
                number=row.number,
                account=key.account,
                account_index=row.account,
                decoder=row.decoder,
                seat=row.seat,
                capacity=row.instruments_max,
                opened_mono_ns=now_ns,
                healthy_mono_ns=now_ns,
                wanted=row.wanted,
                dirty=False,
            )
        for link in self.links.values():
            self._adopt_rows(link, now_ns)
        if self.placement:
            self._adopted_until_ns = now_ns + ADOPTION_NS
            wants = {
                token: Want(token, self.links[number].rows[token].mode)
                for token, number in self.placement.items()
            }
            self.ledger.join(ADOPTED, durable=True)
            self.ledger.add(ADOPTED, wants)
            self.ledger.take_changed()
            _log.info(
                f"adopted {len(self.links)} connections with {len(wants)} instruments; nothing is "
                "taken away until their clients had 60 s to come back"
            )

    def _adopt_rows(self, link: Link, now_ns: int) -> None:
        for token, row in self._outside.read_rows(link.number).items():
            if not self._slots[link.decoder].adopt(token, row.slot):
                link.dirty = True
                continue
            link.rows[token] = row
            owner = self.placement.setdefault(token, link.number)
            if owner != link.number:
                self._adopt_move(token, self.links[owner], link, now_ns)

    def _adopt_move(self, token: int, one: Link, other: Link, now_ns: int) -> None:
        """A move was under way: who has the lower epoch is the source, and still the owner."""
        source, target = sorted((one, other), key=lambda link: link.rows[token].owner_epoch)
        self.placement[token] = source.number
        self.moving[token] = Moving(source.number, target.number, now_ns)

    def _end_adoption(self, now_ns: int) -> None:
        if self._adopted_until_ns and now_ns >= self._adopted_until_ns:
            self._adopted_until_ns = 0
            self.ledger.forget(ADOPTED)


@dataclass(frozen=True, slots=True)
class _Key:
    account: str
    index: int
    broker: str
    connections_max: int
    instruments_per_connection: int


def _keys(config: Config) -> list[_Key]:
    """Return a key per API key, named after the first account that has it."""
    pool = config.pool
    assert pool is not None and pool.connections_per_key is not None
    assert pool.instruments_per_connection is not None
    found: dict[tuple[str, str], _Key] = {}
    for index, account in enumerate(config.accounts):
        key = _Key(
            account.name, index, account.broker,
            pool.connections_per_key, pool.instruments_per_connection,
        )  # fmt: skip
        found.setdefault((account.broker, account.api_key), key)
    return list(found.values())


def _is_healthy(report: Report, now_ns: int) -> bool:
    """Whether a connection is well and its feed alive: one that hangs goes on saying LIVE."""
    return report.state in HEALTHY and now_ns - report.heartbeat_mono_ns < SILENT_NS


def policy_of(config: Config) -> PlacementPolicy:
    """Return how a config wants instruments placed."""
    pool = config.pool
    assert pool is not None
    return PlacementPolicy(
        policy=Policy(pool.policy), growth=Growth(pool.open), place_min_health=pool.min_health
    )


def _connection_view(link: Link, ideal: bool) -> ConnectionView:
    usable = link.wanted and not link.draining if ideal else link.takes_more
    return ConnectionView(
        number=link.number,
        account=link.account,
        decoder=link.decoder,
        capacity=link.capacity,
        usable=usable,
        draining=link.draining or not link.wanted,
        seat=link.seat,
        opened_ns=link.opened_mono_ns,
    )
