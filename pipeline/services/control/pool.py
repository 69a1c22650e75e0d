"""The pool manager: it brings what is assigned in step with what is desired. Floor 4.

    desired (ledger) -> assigned (the links' rows) -> wire (the feeds) -> confirmed (the decoders)

`turn` is called often and waits for nothing; what it decides comes from `pipeline.planning`, what
it says goes into tables through `outside`. Whatever is desired and has no place is in `unplaced`
with the reason: nothing is lost silently.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from pipeline.core.clock import NS_PER_S
from pipeline.core.config import Config
from pipeline.core.enums import State
from pipeline.core.plan import Topology
from pipeline.planning.placement import place
from pipeline.planning.policies import Growth, PlacementPolicy, Policy, Spread
from pipeline.planning.pool import (
    ConnectionView,
    KeyView,
    Plan,
    PoolView,
    Priority,
    Turn,
    Want,
    Why,
)
from pipeline.services.control.assigned import Assigned
from pipeline.services.control.kept import Kept
from pipeline.services.control.ledger import Ledger
from pipeline.services.control.links import HEALTHY, SILENT_NS, Link, Measured, Report
from pipeline.services.control.mirrors import Mirrors
from pipeline.services.control.moves import Moves
from pipeline.services.control.outages import Outages
from pipeline.services.control.refusals import Refusals
from pipeline.services.control.surroundings import Surroundings
from pipeline.services.control.tally import Counters, Tally
from pipeline.services.control.upkeep import Upkeep

#: A connection that asked for instruments and stays up is well, though nothing may come of them.
SUBSCRIBED_NS: Final = NS_PER_S
#: Who has not looked for so long knows nothing of the time between.
AWAY_NS: Final = NS_PER_S
#: A connection that was never there is forgotten so long after it is not wanted any more.
NEVER_THERE_NS: Final = 2 * NS_PER_S
#: What has no place is looked at again so often, should nothing have happened.
LOOK_AGAIN_NS: Final = NS_PER_S
#: After a restart nothing is taken away for so long: the clients have to come back first.
ADOPTION_NS: Final = 60 * NS_PER_S
ADOPTED: Final = "(adopted)"
#: A connection's health as long as nobody has judged it.
_WELL: Final = 100.0
_UNKNOWN: Final = Measured()

_log = logging.getLogger(__name__)


class Pool:
    """The demand, the connections, and what brings them together; `owner`: of his accounts alone.

    `scores` are the connections' health scores, of whoever judges them, `measured` and
    `packet_rates` (by instrument) what placement goes by under some policies; `homes` say which
    account carried an instrument last: it goes there again if it can; `stuck_windows` say why
    windows cannot follow their underlying, of who moves them.
    """

    def __init__(
        self, config: Config, topology: Topology, outside: Surroundings, now_ns: int, *,
        owner: str | None = None, tally: Tally | None = None,
    ) -> None:  # fmt: skip
        settings = config.pool
        assert settings is not None
        self.ledger = Ledger()
        self.assigned = Assigned(config, topology, outside, owner=owner, tally=tally)
        self.unplaced: dict[int, Why] = {}
        self.scores: dict[int, float] = {}
        self.measured: Mapping[int, Measured] = {}
        self.packet_rates: Mapping[int, float] = {}
        self.homes: dict[int, str] = {}
        self.stuck_windows: dict[str, str] = {}
        self.policy = policy_of(config)
        self.moves = Moves(
            self.assigned,
            outside,
            moves_per_s=max(1, round(settings.moves_per_s)),
            confirm_ns=round(settings.confirm_after_s * NS_PER_S),
        )
        self.mirrors = Mirrors(settings, self.policy, self.assigned, self.moves, outside, self.view)
        self.refusals = Refusals(self.assigned, self.moves, outside, now_ns)
        self.outages = Outages(
            settings.redistribute_after_s, self.policy, self.assigned, self.moves, self.ledger,
            self.view,
        )  # fmt: skip
        self.upkeep = Upkeep(settings, self.policy, self.assigned, self.moves, self.view)
        self._outside = outside
        self._owner = owner
        self._turn = Turn()
        self._unkept = True  # whether what has no place may differ from what was kept
        self._kept: tuple[frozenset[int], int | None, Mapping[int, int]] = frozenset(), None, {}
        self._place_again_ns = 0
        self._linger_ns = round(settings.linger_s * NS_PER_S)
        self._adopted_until_ns = 0
        self._observed_ns = now_ns
        self._adopt(now_ns)

    @property
    def links(self) -> dict[int, Link]:
        """The connections by number."""
        return self.assigned.links

    @property
    def placement(self) -> dict[int, int]:
        """Which connection owns each instrument."""
        return self.assigned.placement

    @property
    def counters(self) -> Counters:
        """What the pool has done."""
        return self.assigned.counters

    @property
    def is_busy(self) -> bool:
        """Whether something is under way, so that the next turn should come soon."""
        links = self.links.values()
        unsettled = any(link.dirty or not link.wanted or not link.is_healthy for link in links)
        busy = self.moves.under_way or self.moves.waiting or self.unplaced or unsettled
        return bool(busy or self.refusals.is_busy)

    @property
    def orphans(self) -> dict[int, int]:
        """Instruments that nobody delivers: {token: connection that is down, or -1 for none}."""
        found = dict.fromkeys(self.unplaced, -1)
        for link in self.links.values():
            if link.is_down:
                owned = (t for t in link.rows if self.placement.get(t) == link.number)
                found.update(dict.fromkeys(owned, link.number))
        return found

    # ---- views ------------------------------------------------------------------------------

    def view(self, *, ideal: bool = False) -> PoolView:
        """Return the pool as planning sees it; `ideal`: as if every connection were well."""
        barred = {link.account for link in self.links.values() if link.is_barred}
        has_numbers = self.assigned.has_numbers
        return PoolView(
            connections=tuple(
                _connection_view(
                    link,
                    self.measured.get(link.number, _UNKNOWN),
                    _WELL if ideal else self._score(link),
                    ideal=ideal,
                    weight=self.policy.weight(link.seat),
                )
                for link in self.links.values()
            ),
            keys=tuple(
                KeyView(
                    account=key.account,
                    broker=key.broker,
                    connections_max=key.connections_max,
                    instruments_per_connection=key.instruments_per_connection,
                    may_open=has_numbers and (ideal or key.account not in barred),
                )
                for key in self.assigned.keys
            ),
            placement=self.placement,
            wants=self.ledger.desired,
            moving=self.moves.targets,
            mirrors=self.assigned.mirrors,
            packet_rates=self.packet_rates,
            decoders=tuple(self.assigned.slots),
        )

    def _score(self, link: Link) -> float:
        return self.scores.get(link.number, _WELL)

    def plan(
        self, wants: Mapping[int, Want], *, all_or_nothing: bool, without: Collection[int] = ()
    ) -> Plan:
        """Say what would become of these wants, if `without` were given up at the same time.

        Judged is what the keys can carry when all is well: an outage of today refuses nobody, and
        what has no place for now waits for one. Nor do second halves, which give way.
        """
        self._follow_ledger()  # what was asked for since the last turn waits, too
        waiting = [
            want
            for token in self.unplaced
            if token not in without and (want := self.ledger.desired.get(token))
        ]
        asked = [want for token, want in wants.items() if token not in self.unplaced]
        view = replace(self.view(ideal=True), mirrors={})
        if without:
            view = replace(
                view,
                placement={t: at for t, at in view.placement.items() if t not in without},
                moving={t: to for t, to in view.moving.items() if t not in without},
            )
        found = place([*waiting, *asked], view, self.policy, turn=self._turn, homes=self.homes)
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
        self._follow_ledger()
        self._follow_refusals(now_ns)
        self.moves.finish(now_ns)
        self.mirrors.promote()
        self.outages.turn(now_ns)
        self._place(now_ns)
        self.upkeep.turn(now_ns)
        self.mirrors.give_way()  # before a half of what closes becomes an owner, who does not
        self._empty_closing()
        self.moves.begin_some(self.ledger.desired, now_ns)
        adopting = bool(self._adopted_until_ns)
        self.mirrors.turn(self.ledger.desired, now_ns, removes=not adopting)
        self._keep()
        self.assigned.write()
        self._keep()

    def _keep(self) -> None:
        """Keep what is in no table, or may be in none while tables are written; seldom any."""
        unwritten = self.assigned.adrift()
        mirrors = self.mirrors.to_keep()
        now = (frozenset(unwritten), self.upkeep.asked, mirrors)
        if not self._unkept and now == self._kept:
            return
        self._unkept, self._kept = False, now
        tokens = {*self.unplaced, *unwritten}
        desired = self.ledger.desired
        adrift = {token: desired[token] for token in tokens if token in desired}
        left = self.assigned.absences.of(adrift, self.placement)
        self._outside.keep(self._owner, Kept(self.upkeep.asked, adrift, mirrors, left))

    def _observe(self, now_ns: int) -> None:
        present = self._outside.present
        away_ns = now_ns - self._observed_ns
        self._observed_ns = now_ns
        for link in list(self.links.values()):
            if away_ns >= AWAY_NS:
                link.healthy_mono_ns += away_ns
            if link.wanted:
                link.wanted_mono_ns = now_ns
            before, was_down, was_barred = link.report.state, link.is_down, link.is_barred
            link.observe(self._outside.report(link.number))
            link.was_present = link.was_present or link.number in present
            if link.number not in present and _is_gone(link, now_ns):
                self._empty(link)
                self.assigned.forget(link)
                self._look_again()
                continue
            link.is_healthy = _is_healthy(link.report, now_ns)
            if link.is_barred and not was_barred:
                self._tell_barred(link)
            if link.is_healthy:
                link.healthy_mono_ns, link.was_healthy = now_ns, True
            link.is_down = self.outages.is_over_grace(link, now_ns)
            if (link.report.state, link.is_down) != (before, was_down):
                self._look_again()

    @staticmethod
    def _tell_barred(link: Link) -> None:
        limited = link.report.state is State.LIMITED
        why = "is limited (429)" if limited else "has a token that is rejected (403)"
        _log.warning(
            f"account {link.account} {why}: connection {link.number} cannot connect; what it "
            "carries goes to other accounts, where there is room"
        )

    def _look_again(self) -> None:
        self._place_again_ns = 0
        self.outages.look_again()
        self.mirrors.look_again()

    def _follow_ledger(self) -> None:
        changed = self.ledger.take_changed()
        self.mirrors.follow(changed, self.ledger.desired)
        for token in changed:
            want = self.ledger.desired.get(token)
            if want is None:
                self.unplaced.pop(token, None)
                self.moves.drop(token)
                self.assigned.let_go(token)
            elif token in self.placement:
                self.assigned.set_mode(token, want.mode)
            else:
                self.unplaced.setdefault(token, Why.NO_CONNECTION)
            self._place_again_ns = 0
            self._unkept = True

    def _follow_refusals(self, now_ns: int) -> None:
        freed = self.refusals.turn(now_ns)
        self.unplaced.update(dict.fromkeys(freed, Why.CAPACITY))
        if freed:
            self._look_again()
            self._unkept = True

    # ---- finding places ---------------------------------------------------------------------

    def _place(self, now_ns: int) -> None:
        """Give a place to what has none."""
        if not self.unplaced or now_ns < self._place_again_ns:
            return
        self._place_again_ns = now_ns + LOOK_AGAIN_NS
        wants = [self._unbound(self.ledger.desired[token]) for token in self.unplaced]
        plan = place(wants, self.view(), self.policy, turn=self._turn, homes=self.homes)
        plan = plan.numbered(self.assigned.open_all(plan.open, now_ns))
        self._turn = plan.turn
        self._unkept = self._unkept or bool(plan.assign)
        for token, number in plan.assign.items():
            if not self.assigned.has_slot(token, self.links[number]):
                self.unplaced[token] = Why.CAPACITY
                continue
            self.assigned.assign(token, self.ledger.desired[token].mode, self.links[number])
            self.placement[token] = number
            account = self.homes[token] = self.links[number].account
            self.assigned.of_account[account].subscriptions += 1
            del self.unplaced[token]
            self.counters.subscriptions += 1
        for refusal in plan.refused:
            self.unplaced[refusal.token] = refusal.why

    def _unbound(self, want: Want) -> Want:
        """Return a want without its pin, should that be to a connection that is gone."""
        number = want.connection
        if number is None or number in self.links or not self.assigned.ever_was(number):
            return want
        return want._replace(connection=None)

    def _empty_closing(self) -> None:
        """Take the rows from what closes, before anybody can be given one beside them.

        Such a row would tell no gap, though it may tick only when the other connection is gone.
        """
        for link in self.links.values():
            if not link.wanted:
                self._empty(link)

    def _empty(self, link: Link) -> None:
        """What a connection still carries that is being closed has no place any more.

        Unless it is under way to another one: then it is that one's.
        """
        if not link.rows:
            return
        self.moves.leave(link)
        for token in self.assigned.empty(link):
            self.unplaced[token] = Why.NO_CONNECTION
            self._place_again_ns = 0
            self._unkept = True

    # ---- after a restart --------------------------------------------------------------------

    def _adopt(self, now_ns: int) -> None:
        """Take over what a control process before this one has left, and remove nothing of it."""
        kept = self._outside.read_kept(self._owner)
        self.moves.adopt(self.assigned.adopt(now_ns, kept.mirrors), now_ns)
        self.mirrors.adopt(kept.mirrors)
        if kept.connections is not None:
            self.upkeep.ask_for(kept.connections)
        strays = {token: Want(token, mode) for token, mode in self.assigned.strays.items()}
        adrift = {**strays, **kept.adrift}
        self.unplaced = {t: Why.NO_CONNECTION for t in adrift if t not in self.placement}
        left = kept.left_mono_ns.items()
        self.assigned.absences.left_mono_ns |= {t: ns for t, ns in left if t in self.unplaced}
        if not self.placement and not self.unplaced:
            return
        self._adopted_until_ns = now_ns + ADOPTION_NS
        wants = {token: adrift[token] for token in self.unplaced}
        wants |= {
            token: Want(token, self.links[number].rows[token].mode)
            for token, number in self.placement.items()
        }
        self.ledger.join(ADOPTED, durable=True)
        self.ledger.add(ADOPTED, wants)
        self.mirrors.follow(self.ledger.take_changed(), self.ledger.desired)
        _log.info(
            f"adopted {len(self.links)} connections with {len(wants)} instruments; nothing is "
            "taken away until their clients had 60 s to come back"
        )

    def _end_adoption(self, now_ns: int) -> None:
        if self._adopted_until_ns and now_ns >= self._adopted_until_ns:
            self._adopted_until_ns = 0
            self.ledger.forget(ADOPTED)


def _is_healthy(report: Report, now_ns: int) -> bool:
    """Whether a connection is well and its feed alive: one that hangs goes on saying LIVE."""
    subscribed = (
        report.state is State.SUBSCRIBING and now_ns - report.since_mono_ns >= SUBSCRIBED_NS
    )
    is_well = subscribed or report.state in HEALTHY
    return is_well and now_ns - report.heartbeat_mono_ns < SILENT_NS


def _is_gone(link: Link, now_ns: int) -> bool:
    """Whether a connection that has no segments will never have any."""
    if link.wanted:
        return False
    return link.was_present or now_ns - link.wanted_mono_ns >= NEVER_THERE_NS


def policy_of(config: Config) -> PlacementPolicy:
    """Return how a config wants instruments placed."""
    pool = config.pool
    assert pool is not None
    routes = {p: names for p in Priority if (names := getattr(pool.routes, p.name.lower(), ()))}
    return PlacementPolicy(
        policy=Policy(pool.policy), growth=Growth(pool.open), routes=routes, weights=pool.weights,
        spread=None if pool.spread is None else Spread(pool.spread),
        place_min_health=pool.min_health, unhealthy_last=pool.unhealthy_last,
    )  # fmt: skip


def _connection_view(
    link: Link, measured: Measured, health: float, *, ideal: bool, weight: float
) -> ConnectionView:
    return ConnectionView(
        number=link.number,
        account=link.account,
        decoder=link.decoder,
        capacity=link.capacity,
        usable=link.wanted and not link.draining if ideal else link.takes_more,
        draining=link.draining or not link.wanted,
        health=health,
        tick_age_p50_ns=measured.tick_age_p50_ns,
        packet_rate_per_s=measured.packets_per_s,
        byte_rate_per_s=measured.bytes_per_s,
        weight=weight,
        seat=link.seat,
        opened_ns=link.opened_mono_ns,
    )
