"""Two owners' pools in one world: alice has two keys, bob one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pipeline.core.clock import NS_PER_S
from pipeline.core.config import Config, parse
from pipeline.core.enums import Mode
from pipeline.core.plan import plan_topology
from pipeline.planning.pool import Want
from pipeline.services.control.commands import Commands
from pipeline.services.control.names import Stranger
from pipeline.services.control.pool import Pool
from pipeline.services.control.router import Router
from pipeline.services.control.tally import Tally
from pipeline.services.control.windows import FollowPolicy, Windows
from tests.services.control.world import LIMITS, World

OWNERS = ("alice", "bob")
_ACCOUNT = '[[account]]\nname = "{}"\nurl = "simulator"\napi_key = "{}"\nowner = "{}"\n'
ACCOUNTS = "".join(
    _ACCOUNT.format(*row)
    for row in (("a1", "demo", "alice"), ("b1", "demo2", "bob"), ("a2", "demo3", "alice"))
)


def owners_config(pool: str = "", *, decoders: int = 3, more: str = "") -> Config:
    """Return a config with a pool over the keys of both."""
    text = f"{ACCOUNTS}[simulator]\n[decoder]\ncount = {decoders}\n[pool]\n{pool}\n{more}"
    return parse(text, limits=LIMITS)


class Realm:
    """The owners' pools in a world, and what brings requests to them."""

    def __init__(self, config: Config, world: World | None = None) -> None:
        self.config = config
        self.world = world or World()
        self.pools: dict[str, Pool] = {}
        self.asked: dict[str, set[int]] = {owner: set() for owner in config.owners}
        self.restart()

    def restart(self) -> None:
        """Begin anew, with nothing but what is in the tables."""
        topology, tally, now_ns = plan_topology(self.config), Tally(), self.world.now_ns
        self.pools = {
            owner: Pool(self.config, topology, self.world, now_ns, owner=owner, tally=tally)
            for owner in self.config.owners
        }
        self.commands = {
            owner: Commands(
                pool, resolve=_resolve, windows=Windows(pool, _no_window, FollowPolicy()),
                about={"owner": owner}, owner=owner, questions={"stats": _says(owner)},
                actions={
                    "rebalance": lambda request: {"planned": [], "done": True, "text": ""},
                    "scale": lambda request: request.connections,
                    "recycle": _says(owner),
                },
            )
            for owner, pool in self.pools.items()
        }  # fmt: skip
        self.router = Router(self.commands, about={"x": 1}, questions={"stats": lambda _: "all"})

    def turn(self, seconds: float = 0.1) -> None:
        """Turn for so long."""
        end_ns = self.world.now_ns + round(seconds * NS_PER_S)
        while self.world.now_ns < end_ns:
            for pool in self.pools.values():
                pool.turn(self.world.now_ns)
            self.world.step()

    def want(self, owner: str, tokens: Iterable[int], client: str = "t") -> None:
        """Add to a client's demand, unasked."""
        tokens = list(tokens)
        self.asked[owner].update(tokens)
        ledger = self.pools[owner].ledger
        if client not in ledger.clients:
            ledger.join(client)
        ledger.add(client, {token: Want(token, Mode.QUOTE) for token in tokens})

    def owner_at(self, number: int) -> str:
        """Return whose a connection is, by the topology that the supervisor reads."""
        row = next(row for row in self.world.topology if row.number == number)
        return self.config.accounts[row.account].owner

    def carried(self, owner: str) -> dict[int, list[int]]:
        """Return {instrument: connections} of what an owner's tables have."""
        found: dict[int, list[int]] = {}
        for row in self.world.topology:
            if self.config.accounts[row.account].owner == owner:
                for token in self.world.tables.get(row.number, {}):
                    found.setdefault(token, []).append(row.number)
        return found

    def check(self) -> None:
        """Fail if a connection has what its owner never wanted, or a decoder of another's."""
        numbers = [row.number for row in self.world.topology]
        assert len(numbers) == len(set(numbers))
        for row in self.world.topology:
            owner = self.config.accounts[row.account].owner
            pool = self.pools[owner]
            assert row.decoder in self.config.decoders_of(owner), row
            assert row.number in pool.links
            others = [other for name, other in self.pools.items() if name != owner]
            assert not any(row.number in other.links for other in others)
            assert self.world.tables.get(row.number, {}).keys() <= self.asked[owner]
            assert pool.links[row.number].rows.keys() <= self.asked[owner]


def _says(owner: str) -> Callable[[object], str]:
    return lambda _: owner


def _resolve(
    names: Sequence[str],
) -> tuple[dict[str, tuple[int, ...]], dict[str, Stranger]]:
    return {}, {name: Stranger(f"{name!r} is unknown") for name in names}


def _no_window(form: str) -> Stranger:
    return Stranger(f"{form!r} is unknown")
