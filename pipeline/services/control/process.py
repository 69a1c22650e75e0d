"""The control process's body: a loop that turns the pool, and the socket beside it. Floor 4."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from pipeline.core.clock import NS_PER_S, monotonic_ns, real_ns
from pipeline.core.config import Config
from pipeline.core.control import MODES, Act
from pipeline.core.enums import Reason, Role, SegmentKind, State
from pipeline.core.errors import CapacityError
from pipeline.core.exit_codes import ExitCode
from pipeline.core.folders import data_directory
from pipeline.core.plan import plan_topology
from pipeline.planning.pool import Want
from pipeline.services.control.acts import actions_of
from pipeline.services.control.api.host import Host
from pipeline.services.control.api.session import Sessions
from pipeline.services.control.assigned import AccountCounters, Counters
from pipeline.services.control.commands import Commands, Refused
from pipeline.services.control.documents import Documents
from pipeline.services.control.durable import DurableDemand
from pipeline.services.control.front import QUOTES_CLIENT, Front
from pipeline.services.control.homes import Homes
from pipeline.services.control.loading import Aside, NameLoading
from pipeline.services.control.names import Expanded, Names, Stranger
from pipeline.services.control.outside import Outside
from pipeline.services.control.pool import ADOPTED, Pool
from pipeline.services.control.server import Server
from pipeline.services.control.windows import Windows, follow_policy
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import AccountPage, StatusPage
from pipeline.shm.segment import Segment
from pipeline.strategy.latest import LatestTables

#: How often the pool is looked at while something is under way, and while nothing is.
BUSY_TURN_S: Final = 0.02
CALM_TURN_S: Final = 0.25

#: The client that wants what the config's [[subscription]] tables say.
CONFIG_CLIENT: Final = "config"

SAVE_NS: Final = 10 * NS_PER_S
#: What loading the instrument list may take before this process counts as hung.
LIST_LOAD_NS: Final = 30 * NS_PER_S
_NO_PACKAGES: Final = (
    "[api] is in the config, and a package for it is missing: control.sock serves alone; "
    "for HTTP: pip install 'tickrail[api]'"
)

_log = logging.getLogger(__name__)


def run_control(config: Config, paths: InstancePaths, listener: socket.socket | None = None) -> int:
    """Be the control process of an instance with a pool until SIGTERM; return the exit code.

    `listener` is where HTTP is served, bound and listening.
    """
    return asyncio.run(Control(config, paths, listener).run())


class Control:
    """The pool, its page, its documents and its sockets."""

    def __init__(
        self, config: Config, paths: InstancePaths, listener: socket.socket | None = None
    ) -> None:
        assert config.pool is not None
        self._config = config
        self._paths = paths
        kind = SegmentKind.CONTROL_STATUS
        self.page = StatusPage(Segment.attach(paths.segment(kind), kind, writable=True))
        self.page.begin(Role.CONTROL)
        self.pool = Pool(config, plan_topology(config), Outside(paths), monotonic_ns())
        for field in dataclasses.fields(Counters):
            setattr(self.pool.counters, field.name, int(self.page.record[field.name]))
        self._accounts = _account_pages(paths, self.pool)
        self._homes = _homes_of(config) if len(self.pool.assigned.keys) > 1 else None
        if self._homes is not None:
            self.pool.homes = self._homes.read()
        self._save_at_ns = monotonic_ns() + SAVE_NS
        self._want_what_the_config_says()
        reserved = frozenset({CONFIG_CLIENT, ADOPTED, QUOTES_CLIENT})
        self._durable = DurableDemand(paths.durable_demand, reserved=reserved)
        self._durable.restore(self.pool.ledger)
        self.documents = Documents(config, paths, self.pool)
        self._names = Names(config.instruments_file, self._last_price, kept=True)
        self._loading = NameLoading(self._names)
        self._saving = Aside()
        self._latest = LatestTables(paths)
        self.windows = Windows(self.pool, self._expand, follow_policy(config.pool))
        now_ns = monotonic_ns()
        self.page.beat(now_ns, now_ns + LIST_LOAD_NS)  # before we serve, and for windows alone
        self.windows.restore()
        self.sessions = Sessions(paths.name, paths.secrets / "sessions.json")
        self.sessions.restore(real_ns())
        about = {"instance": paths.name, "pid": int(self.page.head["pid"]), "api": _url(listener)}
        self.commands = Commands(
            self.pool,
            resolve=self._resolve,
            windows=self.windows,
            about={**about, "started_ts_ns": real_ns()},
            questions=self.documents.desk.questions(),
            actions={**actions_of(self.pool), "enter": self._enter},
        )
        self._wake = asyncio.Event()
        self.host = self._make_host(listener, reserved)
        self.server = Server(
            self.commands, self.pool.ledger, self._wake.set,
            reserved=reserved, ready=self._loading.ready,
        )  # fmt: skip
        self._stopping = False

    def _resolve(
        self, names: Sequence[str]
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, Stranger]]:
        return self._names.resolve(names)

    def _expand(self, form: str) -> Expanded | Stranger:
        return self._names.expand(form)

    def _last_price(self, token: int) -> float | None:
        """Return what an instrument was last traded at, if it is streamed here."""
        self._latest.follow(InstanceView(self._paths).read().manifest)
        try:
            tick = self._latest.read([token])[0]
        except CapacityError:
            return None
        return float(tick["last_price"]) if tick["sequence"] else None

    def _make_host(self, listener: socket.socket | None, reserved: frozenset[str]) -> Host | None:
        if listener is None:
            if self._config.api is not None:
                _log.warning(_NO_PACKAGES)
            return None
        front = Front(
            self._config, self._paths, self.pool, self.commands, self.documents.desk,
            self.documents.hub, self.sessions, reserved=reserved, changed=self._wake.set,
            ready=self._loading.ready,
            catalogue=self._names.catalogue,
        )  # fmt: skip
        return Host(front, listener, str(_url(listener)))

    def _enter(self, request: Act) -> dict[str, Any]:
        """Return an address that a browser comes in by, once; for who can open `control.sock`."""
        if self.host is None:
            raise Refused("unavailable", "there is no page: it takes [api], and its packages")
        known = [account.name for account in self._config.accounts]
        if request.account is not None and request.account not in known:
            text = f"account {request.account[:60]!r} not found; known: {', '.join(known)}"
            raise Refused("not_found", text)
        return self.host.address(request.account or "")._asdict()

    def _want_what_the_config_says(self) -> None:
        wants = {
            token: Want(token, MODES[subscription.mode])
            for subscription in self._config.subscriptions
            for token in subscription.tokens
        }
        ledger = self.pool.ledger
        ledger.join(CONFIG_CLIENT, durable=True)
        ledger.replace(CONFIG_CLIENT, wants)

    async def run(self) -> int:
        """Turn until SIGTERM."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        self._turn()  # before anybody asks: what was there goes on being assigned
        await self.server.listen(self._paths.control_socket)
        self.page.set_state(State.LIVE, Reason.STARTED)
        if self.host is not None:
            self.host.start()
        while not self._stopping:
            await self._pause()
            self._turn()
        self.page.set_state(State.DRAINING, Reason.SHUTDOWN)
        if self.host is not None:
            await self.host.close()
        await self.server.close()
        await self._loading.end()
        await self._saving.end()
        if self._homes is not None:
            self._homes.save(self.pool.homes)
        self.page.set_state(State.CLOSED, Reason.DRAINED)
        return int(ExitCode.DONE)

    def _stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def _pause(self) -> None:
        """Wait for a request or for the next turn."""
        busy = self.pool.is_busy
        try:
            async with asyncio.timeout(BUSY_TURN_S if busy else CALM_TURN_S):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _save_homes(self) -> None:
        if self._homes is not None:
            self._saving.begin(partial(self._homes.save, dict(self.pool.homes)))

    def _turn(self) -> None:
        now_ns = monotonic_ns()
        self._durable.save(self.pool.ledger)
        if now_ns >= self._save_at_ns:
            self._save_at_ns = now_ns + SAVE_NS
            self._save_homes()
        self.page.beat(now_ns)
        self._loading.follow()
        self.windows.turn(now_ns)
        self.pool.turn(now_ns)
        self.documents.follow(now_ns)
        self._show()

    def _show(self) -> None:
        record, pool = self.page.record, self.pool
        record["turns"] += 1
        record["requests"], record["refusals"] = self.server.requests, self.server.refusals
        for name, count in dataclasses.asdict(pool.counters).items():
            record[name] = count
        for counters, shown in self._accounts:
            for name, count in dataclasses.asdict(counters).items():
                shown.record[name] = count
        record["clients"] = self.server.clients
        record["desired"] = len(pool.ledger.desired)
        record["assigned"] = len(pool.placement)
        record["orphaned"] = len(pool.orphans)
        record["moving"] = len(pool.moves.under_way)


def _homes_of(config: Config) -> Homes:
    """Return the file that remembers the accounts of an instance's instruments."""
    pool = config.pool
    assert pool is not None
    file = config.path(pool.homes_file) if pool.homes_file else data_directory() / "homes.sqlite"
    return Homes(file, config.instance.name)


def _url(listener: socket.socket | None) -> str | None:
    """Return what a caller on this machine calls the address that is listened on."""
    if listener is None:
        return None
    host, port = listener.getsockname()[:2]
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{own}]:{port}" if ":" in own else f"http://{own}:{port}"


def _account_pages(paths: InstancePaths, pool: Pool) -> list[tuple[AccountCounters, AccountPage]]:
    """Return each key's counters with the page that keeps them, going on from what it says."""
    found = []
    for key in pool.assigned.keys:
        path = paths.segment(SegmentKind.ACCOUNT, key.index)
        page = AccountPage(Segment.attach(path, SegmentKind.ACCOUNT, writable=True))
        counters = pool.assigned.of_account[key.account]
        for field in dataclasses.fields(counters):
            setattr(counters, field.name, int(page.record[field.name]))
        found.append((counters, page))
    return found
