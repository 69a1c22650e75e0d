"""A stand-in for shared memory and everybody behind it: supervisor, feeds, decoder, exchange."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Set

from pipeline.core.capacity import BrokerLimits
from pipeline.core.clock import NS_PER_S
from pipeline.core.config import Config, parse
from pipeline.core.enums import Mode, State
from pipeline.core.plan import plan_topology
from pipeline.planning.pool import Move, Want
from pipeline.services.control.kept import Kept
from pipeline.services.control.links import Link, Report, Row
from pipeline.services.control.outside import TopologyRow
from pipeline.services.control.pool import Pool
from pipeline.services.control.text_ring import Text

LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
ACCOUNT = '[[account]]\nname = "{0}"\nurl = "simulator"\napi_key = "{1}"\n'
#: The first moment; monotonic clocks do not begin at 0.
START_NS = 1_000 * NS_PER_S
TURN_NS = NS_PER_S // 50


def pool_config(*, keys: int = 1, pool: str = "", more: str = "") -> Config:
    """Return a config with a pool over so many API keys of the simulated exchange."""
    names = (("a", "demo"), ("b", "demo2"), ("c", "demo3"))
    accounts = "".join(ACCOUNT.format(*name) for name in names[:keys])
    return parse(f"{accounts}[simulator]\n[pool]\n{pool}\n{more}", limits=LIMITS)


class World:
    """Makes what is wanted after a turn; `down` connections are RECONNECTING, `mute` ones give
    no first packet, `silent` ones no packet at all."""

    def __init__(self) -> None:
        self.topology: list[TopologyRow] = []
        self.tables: dict[int, dict[int, Row]] = {}
        self.down: set[int] = set()
        self.mute: set[int] = set()
        self.silent: set[int] = set()  # nothing of these is received or decoded
        self.undecoded: set[int] = set()  # what these received, their decoder has not got to
        self.made: set[int] = set()  # ever: numbers are used once
        self.barred: dict[int, State] = {}  # whose handshakes are refused
        self.subscribing: dict[int, int] = {}  # since when these have a socket, and nothing yet
        self.limit: int | None = None  # what a connection takes
        self.takes_parts = True
        self.said: dict[int, list[Text]] = {}
        self.taken: dict[int, set[int]] = {}  # what the broker has subscribed
        self.hung: dict[int, int] = {}  # the last beat of feeds that hang
        self.refuses = False  # to make any more connections
        self.now_ns = START_NS
        self.written_ns: dict[tuple[int, int], int] = {}
        self.heard_ns: dict[int, int] = {}
        self.ticked: set[tuple[int, int]] = set()  # what has had its first packet since assigned
        self.writes = 0
        self.kept: dict[str | None, Kept] = {}

    @property
    def present(self) -> frozenset[int]:
        return frozenset(self.tables)

    def read_topology(self) -> list[TopologyRow]:
        return list(self.topology)

    def write_topology(self, rows: Iterable[TopologyRow], accounts: Collection[int]) -> None:
        others = [row for row in self.topology if row.account not in accounts]
        self.topology = sorted([*others, *rows])

    def report(self, number: int) -> Report:
        if number not in self.tables:
            return Report()
        state = State.SUBSCRIBING if number in self.silent else State.LIVE
        if number in self.down:
            state = State.RECONNECTING
        state = State.SUBSCRIBING if number in self.subscribing else self.barred.get(number, state)
        return Report(
            present=True, state=state, since_mono_ns=self.subscribing.get(number, 0),
            connection_epoch=1, heartbeat_mono_ns=self._beat(number),
        )  # fmt: skip

    def _beat(self, number: int) -> int:
        return self.hung.get(number, self.now_ns)

    def write(self, link: Link) -> bool:
        if link.number not in self.tables:
            return False
        before = self.tables[link.number]
        self._subscribe(link.number, link.rows.keys(), before.keys())
        for token in link.rows.keys() & before.keys() & self.taken[link.number]:
            if link.rows[token].owner_epoch != before[token].owner_epoch:
                self.written_ns[link.number, token] = self.now_ns  # given anew: confirmed anew
                self.ticked.discard((link.number, token))
        self.tables[link.number] = dict(link.rows)
        self.writes += 1
        return True

    def _subscribe(self, number: int, now: Set[int], before: Set[int]) -> None:
        taken = self.taken.setdefault(number, set())
        taken -= before - now
        fresh = sorted(now - before)
        room = len(fresh) if self.limit is None else max(self.limit - len(taken), 0)
        if room < len(fresh):
            data = f"Can't subscribe to more than {self.limit} instruments."
            self.say(number, json.dumps({"type": "error", "data": data}))
            fresh = fresh[:room] if self.takes_parts else []
        taken.update(fresh)
        for token in now - before:
            self.written_ns[number, token] = self.now_ns if token in taken else 0
            self.ticked.discard((number, token))

    def read_rows(self, number: int) -> dict[int, Row]:
        return dict(self.tables.get(number, {}))

    def decoded_until(self, number: int) -> int:
        if number in self.silent or number not in self.heard_ns:
            return 0
        return self.heard_ns[number] + NS_PER_S

    def has_backlog(self, number: int) -> bool:
        return number in self.undecoded

    def first_packets(self, number: int, tokens: Iterable[int], slots: Iterable[int]) -> list[int]:
        silent = number in self.down | self.mute | self.barred.keys()
        return [0 if silent else self.written_ns.get((number, token), 0) for token in tokens]

    def has_ticked(self, number: int, token: int, slot: int) -> bool:
        is_there = token in self.tables.get(number, {token: None})
        return is_there and (number, token) in self.ticked

    def left_of(self, token: int) -> dict[int, int]:
        """Return what each table that has an instrument says since when it was on none."""
        having = {n: rows[token] for n, rows in self.tables.items() if token in rows}
        return {number: row.left_mono_ns for number, row in having.items()}

    def ticking(self, number: int) -> set[int]:
        """Return the instruments that a connection brings at present."""
        if number in self.mute or not self._hears(number):
            return set()
        return {token for token in self.tables[number] if self.written_ns[number, token]}

    def _hears(self, number: int) -> bool:
        silent = self.down - self.subscribing.keys() | self.silent | self.undecoded
        return number not in silent | self.barred.keys() | self.hung.keys()

    def texts(self, number: int) -> list[Text]:
        return self.said.pop(number, [])

    def read_kept(self, owner: str | None) -> Kept:
        return self.kept.get(owner, Kept())

    def keep(self, owner: str | None, kept: Kept) -> None:
        self.kept[owner] = Kept(
            kept.connections, dict(kept.adrift), dict(kept.mirrors), dict(kept.left_mono_ns)
        )

    def say(self, number: int, text: str) -> None:
        """Let the broker say something on a connection."""
        self.said.setdefault(number, []).append(Text(1, self.now_ns, text.encode()))

    def step(self) -> None:
        """Let the supervisor follow the topology, and time pass."""
        self.now_ns += TURN_NS
        self.ticked |= {(n, token) for n in self.tables for token in self.ticking(n)}
        wanted = {row.number for row in self.topology if row.wanted}
        self.tables = {n: rows for n, rows in self.tables.items() if n in wanted}
        if not self.refuses:
            self.tables |= {number: {} for number in sorted(wanted - self.made)}
            self.made |= wanted
        self.heard_ns |= dict.fromkeys(filter(self._hears, self.tables), self.now_ns)


class Rig:
    """A pool in a world."""

    def __init__(self, config: Config, world: World | None = None) -> None:
        self.config = config
        self.world = world or World()
        self.pool = Pool(config, plan_topology(config), self.world, self.world.now_ns)

    def turn(self, seconds: float = 0.1) -> None:
        """Turn for so long."""
        end_ns = self.world.now_ns + round(seconds * NS_PER_S)
        while self.world.now_ns < end_ns:
            self.pool.turn(self.world.now_ns)
            self.world.step()

    def want(self, client: str, tokens: Iterable[int], mode: Mode = Mode.QUOTE) -> None:
        """Add to a client's demand, unasked."""
        ledger = self.pool.ledger
        if client not in ledger.clients:
            ledger.join(client)
        ledger.add(client, {token: Want(token, mode) for token in tokens})

    def move(self, token: int, source: int, target: int) -> None:
        """Begin a move."""
        want = self.pool.ledger.desired[token]
        self.pool.moves.begin(Move(token, source, target), want, self.world.now_ns)

    def counts(self) -> dict[int, int]:
        """Return how many instruments each table has."""
        return {number: len(rows) for number, rows in sorted(self.world.tables.items())}

    def mirrored(self) -> dict[int, set[int]]:
        """Return which tables have each of the instruments that several have."""
        found: dict[int, set[int]] = {}
        for number, rows in self.world.tables.items():
            for token in rows:
                found.setdefault(token, set()).add(number)
        return {token: numbers for token, numbers in found.items() if len(numbers) > 1}

    def check(self) -> None:
        """Fail unless the tables say what is desired, once each, and slots are unique.

        What is mirrored they say twice.
        """
        pool = self.pool
        owners, mirrors = pool.placement, pool.assigned.mirrors
        for token, second in mirrors.items():
            assert token in pool.links[second].rows and owners[token] != second
            assert pool.links[second].decoder == pool.links[owners[token]].decoder
        carried: dict[int, int] = {}
        slots: dict[tuple[int, int], int] = {}
        for number, link in pool.links.items():
            rows = link.rows if link.dirty else self.world.tables[number]
            assert rows == link.rows and len(rows) <= link.capacity
            for token, row in rows.items():
                assert slots.setdefault((link.decoder, row.slot), token) == token
                assert row.mode is pool.ledger.desired[token].mode
                if moving := pool.moves.under_way.get(token):
                    own = (moving.source, moving.target, owners[token], mirrors.get(token))
                    assert number in own
                elif token in mirrors:
                    assert number in (owners[token], mirrors[token])
                else:
                    assert token not in carried, f"{token} on {carried[token]} and {number}"
                carried[token] = number
        assert carried.keys() | pool.unplaced.keys() == pool.ledger.desired.keys()
        assert not carried.keys() & pool.unplaced.keys()
