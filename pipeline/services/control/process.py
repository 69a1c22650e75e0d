"""The control process's body: a loop that turns the pool, and the socket beside it. Floor 4."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final

from pipeline.core.clock import NS_PER_S, monotonic_ns, real_ns
from pipeline.core.config import Config
from pipeline.core.control import Act
from pipeline.core.enums import Reason, Role, SegmentKind, State
from pipeline.core.exit_codes import ExitCode
from pipeline.core.extras import install_command
from pipeline.core.plan import plan_topology
from pipeline.services.control.api.host import Host
from pipeline.services.control.api.session import Sessions
from pipeline.services.control.documents import Documents
from pipeline.services.control.front import Front
from pipeline.services.control.loading import Aside, NameLoading
from pipeline.services.control.names import Names
from pipeline.services.control.outside import Outside
from pipeline.services.control.pool import Pool
from pipeline.services.control.refused import Refused
from pipeline.services.control.router import Router
from pipeline.services.control.server import Server
from pipeline.services.control.tally import AccountCounters, Counters, Tally
from pipeline.services.control.tenants import RESERVED, Tenant
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import AccountPage, StatusPage
from pipeline.shm.segment import Segment

#: How often the pool is looked at while something is under way, and while nothing is.
BUSY_TURN_S: Final = 0.02
CALM_TURN_S: Final = 0.25

SAVE_NS: Final = 10 * NS_PER_S
#: What loading the instrument list, or a database that somebody holds, may take before this
#: process counts as hung; and what the answer to a large request may.
LIST_LOAD_NS: Final = 30 * NS_PER_S
ANSWER_NS: Final = 10 * NS_PER_S
_NO_PACKAGES: Final = (
    "[api] is in the config, and a package for it is missing: control.sock serves alone; for HTTP: "
)

_log = logging.getLogger(__name__)


def run_control(config: Config, paths: InstancePaths, listener: socket.socket | None = None) -> int:
    """Be the control process of an instance with a pool until SIGTERM; return the exit code.

    `listener` is where HTTP is served, bound and listening.
    """
    return asyncio.run(Control(config, paths, listener).run())


class Control:
    """The owners' pools, their page, their documents and their sockets."""

    def __init__(
        self, config: Config, paths: InstancePaths, listener: socket.socket | None = None
    ) -> None:
        assert config.pool is not None
        self._config = config
        self._paths = paths
        kind = SegmentKind.CONTROL_STATUS
        self.page = StatusPage(Segment.attach(paths.segment(kind), kind, writable=True))
        self.page.begin(Role.CONTROL)
        tally, outside, topology = Tally(), Outside(paths), plan_topology(config)
        now_ns = monotonic_ns()
        self.page.beat(now_ns, now_ns + LIST_LOAD_NS)
        pools = {
            owner: Pool(config, topology, outside, now_ns, owner=owner, tally=tally)
            for owner in config.owners
        }
        self._counters = tally.counters
        for field in dataclasses.fields(Counters):
            setattr(self._counters, field.name, int(self.page.record[field.name]))
        self._accounts = _account_pages(paths, pools.values())
        self.tenants = [Tenant(config, paths, owner, pool) for owner, pool in pools.items()]
        self._save_at_ns = monotonic_ns() + SAVE_NS
        self.documents = Documents(config, paths, pools)
        self._names = Names(config.instruments_file, lambda _: None, kept=True)
        self._loading = NameLoading(self._names)
        self._saving = Aside()
        self.sessions = Sessions(paths.name, paths.secrets / "sessions.json")
        self.sessions.restore(real_ns(), {account.name for account in config.accounts})
        self.router = self._open(listener)
        self._wake = asyncio.Event()
        self.host = self._make_host(listener)
        self.server = Server(
            self.router, self._wake.set, reserved=RESERVED, ready=self._loading.ready
        )
        self._stopping = False

    def _open(self, listener: socket.socket | None) -> Router:
        """Have every owner's commands answer, and return what brings requests to them."""
        desk = self.documents.desk
        about = {
            "instance": self._paths.name, "pid": int(self.page.head["pid"]), "api": _url(listener),
            "started_ts_ns": real_ns(), "owners": [tenant.owner for tenant in self.tenants],
        }  # fmt: skip
        now_ns = monotonic_ns()
        self.page.beat(now_ns, now_ns + LIST_LOAD_NS)  # before we serve, and for windows alone
        for tenant in self.tenants:
            tenant.open(self._names, desk, about=about, actions={"enter": self._enter})
        commands = {tenant.owner: tenant.commands for tenant in self.tenants}
        return Router(commands, about=about, questions=desk.questions(), begin=self._begin_answer)

    def _begin_answer(self) -> None:
        """Be alive, however many requests come one after the other."""
        now_ns = monotonic_ns()
        self.page.beat(now_ns, now_ns + ANSWER_NS)

    def _make_host(self, listener: socket.socket | None) -> Host | None:
        if listener is None:
            if self._config.api is not None:
                _log.warning("%s%s", _NO_PACKAGES, install_command("api"))
            return None
        front = Front(
            self._config, self._paths, self.router, self.documents.desk,
            self.documents.hub, self.sessions, reserved=RESERVED, changed=self._wake.set,
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
        self._homes_to_save()()
        self.page.set_state(State.CLOSED, Reason.DRAINED)
        return int(ExitCode.DONE)

    def _stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def _pause(self) -> None:
        """Wait for a request or for the next turn."""
        busy = any(tenant.pool.is_busy for tenant in self.tenants)
        try:
            async with asyncio.timeout(BUSY_TURN_S if busy else CALM_TURN_S):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _homes_to_save(self) -> Callable[[], None]:
        savers = [tenant.homes_to_save() for tenant in self.tenants]

        def save() -> None:
            for saver in savers:
                saver()

        return save

    def _turn(self) -> None:
        now_ns = monotonic_ns()
        for tenant in self.tenants:
            tenant.save_demand()
        if now_ns >= self._save_at_ns:
            self._save_at_ns = now_ns + SAVE_NS
            self._saving.begin(self._homes_to_save())
        self.page.beat(now_ns)
        self._loading.follow()
        for tenant in self.tenants:
            tenant.turn(now_ns)
        self.documents.follow(now_ns)
        self._show()

    def _show(self) -> None:
        record, pools = self.page.record, [tenant.pool for tenant in self.tenants]
        record["turns"] += 1
        record["requests"], record["refusals"] = self.server.requests, self.server.refusals
        for name, count in dataclasses.asdict(self._counters).items():
            record[name] = count
        for counters, shown in self._accounts:
            for name, count in dataclasses.asdict(counters).items():
                shown.record[name] = count
        record["clients"] = self.server.clients
        record["desired"] = sum(len(pool.ledger.desired) for pool in pools)
        record["assigned"] = sum(len(pool.placement) for pool in pools)
        record["orphaned"] = sum(len(pool.orphans) for pool in pools)
        record["moving"] = sum(len(pool.moves.under_way) for pool in pools)


def _url(listener: socket.socket | None) -> str | None:
    """Return what a caller on this machine calls the address that is listened on."""
    if listener is None:
        return None
    host, port = listener.getsockname()[:2]
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{own}]:{port}" if ":" in own else f"http://{own}:{port}"


def _account_pages(
    paths: InstancePaths, pools: Iterable[Pool]
) -> list[tuple[AccountCounters, AccountPage]]:
    """Return each key's counters with the page that keeps them, going on from what it says."""
    found = []
    keys = [(pool.assigned, key) for pool in pools for key in pool.assigned.keys]
    for assigned, key in keys:
        path = paths.segment(SegmentKind.ACCOUNT, key.index)
        page = AccountPage(Segment.attach(path, SegmentKind.ACCOUNT, writable=True))
        counters = assigned.of_account[key.account]
        for field in dataclasses.fields(counters):
            setattr(counters, field.name, int(page.record[field.name]))
        found.append((counters, page))
    return found
