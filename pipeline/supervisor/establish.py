"""Make what an instance consists of, before its first process. Floor 5.

Every segment of the memory plan, the assignments from the config, the manifest, and the secrets
that came by the environment. Each segment is mapped to initialise it and let go again.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from pipeline.core import secrets
from pipeline.core.config import SIMULATOR_URL, AccountConfig, Config
from pipeline.core.enums import Broker, Reason, Role, SegmentKind, State
from pipeline.core.errors import PortTaken
from pipeline.core.extras import EXTRA_OF
from pipeline.core.plan import ConnectionPlan, Topology
from pipeline.shm.instance import InstanceFile, ManifestEntry
from pipeline.shm.names import OF_CONNECTIONS, InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.plan import MemoryPlan, connection_segments
from pipeline.shm.segment import Segment, SegmentSpec
from pipeline.shm.tables import AssignmentTable, assignment_rows

LOOPBACK: Final = "127.0.0.1"
_BACKLOG: Final = 128
#: After a restart of the gateway all its clients come back at once.
_GATEWAY_BACKLOG: Final = 1024

_OF_DECODERS: Final = frozenset({SegmentKind.LATEST, SegmentKind.BELL, SegmentKind.DECODER_STATUS})

_log = logging.getLogger(__name__)


def make_segments(
    instance: InstanceFile, plan: MemoryPlan, topology: Topology, *, gated: bool,
    assignment: str = "config",
) -> None:  # fmt: skip
    """Make every segment but the instance file, fill the assignments, publish the manifest.

    `gated`: the source waits for a named reader. `assignment` "facade" leaves the assignments
    empty and without a writer, for whoever has started this instance. Raises ShmFull or
    SegmentError; what was made until then is the caller's to remove.
    """
    connections = {connection.number: connection for connection in topology.connections}
    every = (*topology.possible, *topology.connections)
    owners = {connection.account_number: connection.account.owner for connection in every}
    entries = []
    for spec in plan.segments:
        owner = connections.get(spec.number) if spec.kind in OF_CONNECTIONS else None
        entries.append(_entry(spec.kind, spec.number, owner))
        if spec.kind is SegmentKind.INSTANCE:
            continue
        segment = _create(instance, spec)
        if owner is not None:
            _initialise(segment, spec.kind, owner, assign=assignment == "config")
        elif spec.kind is SegmentKind.ACCOUNT:
            _name(segment.record("AccountC"), owner=owners[spec.number])
        elif spec.kind is SegmentKind.STRATEGY_STATUS:
            _introduce(segment, Role.STRATEGY, spec.number)
    instance.set_manifest(entries, gated=gated)


def make_connection(
    instance: InstanceFile, connection: ConnectionPlan, *, slots: int
) -> list[ManifestEntry]:
    """Make the segments of one more connection; return their entries for the manifest.

    `slots` are its decoder's. The assignment is empty and without a writer. Raises ShmFull or
    SegmentError, with nothing left behind.
    """
    made: list[ManifestEntry] = []
    try:
        for spec in connection_segments(connection, slots=slots):
            segment = _create(instance, spec)
            made.append(_entry(spec.kind, spec.number, connection))
            _initialise(segment, spec.kind, connection, assign=False)
    except BaseException:
        unlink_segments(instance.paths, made)
        raise
    return made


def unlink_segments(paths: InstancePaths, entries: Iterable[ManifestEntry]) -> None:
    """Unlink the files of segments that nobody needs any more; those mapped stay readable."""
    for entry in entries:
        paths.segment(entry.kind, entry.number).unlink(missing_ok=True)


def _create(instance: InstanceFile, spec: SegmentSpec) -> Segment:
    path = instance.paths.segment(spec.kind, spec.number)
    return Segment.create(path, spec, instance_id=instance.instance_id)


def _entry(kind: SegmentKind, number: int, owner: ConnectionPlan | None) -> ManifestEntry:
    if owner is not None:
        return ManifestEntry(kind, number, owner.decoder, Broker[owner.account.broker.upper()])
    return ManifestEntry(kind, number, number if kind in _OF_DECODERS else 0)


def _initialise(
    segment: Segment, kind: SegmentKind, connection: ConnectionPlan, *, assign: bool
) -> None:
    if kind is SegmentKind.FEED_STATUS:
        _introduce(segment, Role.FEED, connection.number)
        account = connection.account
        _name(segment.record("FeedStatusC"), owner=account.owner, account=account.name)
    elif kind is SegmentKind.ASSIGNMENT and assign:
        segment.claim(Role.SUPERVISOR)
        tokens = np.array([w.instrument_token for w in connection.wanted], np.uint32)
        modes = np.array([w.mode for w in connection.wanted], np.uint8)
        rows = assignment_rows(tokens, modes, connection.first_slot)
        rows["slot"] = [w.slot for w in connection.wanted]
        AssignmentTable(segment).write(rows)


def _introduce(segment: Segment, role: Role, number: int) -> None:
    page = StatusPage(segment)
    page.head["role"] = role
    page.head["number"] = number
    page.set_state(State.IDLE, Reason.NONE)


def _name(record: np.ndarray[Any, Any], **names: str) -> None:
    """Write names into a page before anybody sees it: readers judge by the owner's."""
    for field, name in names.items():
        record[field][: len(name)] = np.frombuffer(name.encode(), np.uint8)


def listen(config: Config) -> socket.socket | None:
    """Return the simulated exchange's listening socket, on loopback; None when there is none.

    Bound here, so that its port is known before the first feed looks for it, and so that the
    exchange's successor finds it again.
    """
    if config.simulator is None:
        return None
    try:
        return socket.create_server((LOOPBACK, config.simulator.port), backlog=_BACKLOG)
    except OSError as error:
        raise PortTaken(
            f"[simulator] port {config.simulator.port}: {error.strerror}; 0 takes one that is free"
        ) from None


def listen_api(config: Config) -> socket.socket | None:
    """Return the listening socket of the HTTP API; None without one, or without its packages.

    Bound here for the same reasons; the control process tells when the package is missing.
    """
    packages = [package for package, extra in EXTRA_OF.items() if extra == "api"]
    if config.api is None or not all(find_spec(package) for package in packages):
        return None
    address = (config.api.host, config.api.port)
    family = socket.AF_INET6 if ":" in config.api.host else socket.AF_INET
    try:
        listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise PortTaken(
            f"[api] {config.api.host} port {config.api.port}: {error.strerror}; "
            "0 takes one that is free, which the log then tells"
        ) from None
    # Connections inherit it; without it an answer's body waits 40 ms for the caller's word that
    # it has the head, and asyncio sets it only where the socket names its protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def listen_services(config: Config) -> dict[Role, socket.socket]:
    """Return the listening sockets of the roles that serve others, as the config has them."""
    found = {Role.CONTROL: listen_api(config), Role.GATEWAY: listen_gateway(config)}
    return {role: listener for role, listener in found.items() if listener is not None}


def listen_gateway(config: Config) -> socket.socket | None:
    """Return the gateway's listening socket; None without one.

    Bound here, so that its successor finds it again: clients that connect meanwhile wait in it.
    """
    gateway = config.gateway
    if gateway is None:
        return None
    family = socket.AF_INET6 if ":" in gateway.host else socket.AF_INET
    try:
        return socket.create_server(
            (gateway.host, gateway.port), family=family, backlog=_GATEWAY_BACKLOG
        )
    except OSError as error:
        raise PortTaken(
            f"[gateway] {gateway.host} port {gateway.port}: {error.strerror}; "
            "0 takes one that is free, which the log then tells"
        ) from None


def resolve(
    config: Config, paths: InstancePaths, listener: socket.socket | None,
    served: Mapping[Role, socket.socket] | None = None,
) -> Config:  # fmt: skip
    """Return the config as the children need it.

    The simulated exchange has its real address, what listens on a free port says which, and a token
    that came by the environment lies in a file (0600), where it can be renewed while the instance
    runs.
    """
    config = _with_ports(config, served or {})
    accounts = tuple(
        _with_address(_with_file(account, config, paths), config, listener)
        for account in config.accounts
    )
    return dataclasses.replace(config, accounts=accounts)


def _with_ports(config: Config, served: Mapping[Role, socket.socket]) -> Config:
    ports = {role: int(found.getsockname()[1]) for role, found in served.items()}
    api, gateway = config.api, config.gateway
    if api is not None and Role.CONTROL in ports:
        api = dataclasses.replace(api, port=ports[Role.CONTROL])
    if gateway is not None and Role.GATEWAY in ports:
        gateway = dataclasses.replace(gateway, port=ports[Role.GATEWAY])
    return dataclasses.replace(config, api=api, gateway=gateway)


def _with_file(account: AccountConfig, config: Config, paths: InstancePaths) -> AccountConfig:
    if account.access_token is None or not account.access_token.startswith("env:"):
        return account
    path = paths.secrets / account.name
    reference = secrets.store(path, config.secret(account).read().secret)
    _log.warning(
        f"account {account.name}: its token was read from the environment once, at the start; "
        f"renew it by writing the new one to {path}, or use file: in the config"
    )
    return dataclasses.replace(account, access_token=str(reference))


def _with_address(
    account: AccountConfig, config: Config, listener: socket.socket | None
) -> AccountConfig:
    if account.url != SIMULATOR_URL or config.simulator is None or listener is None:
        return account
    ca_file = account.ca_file or config.simulator.tls_certificate
    return dataclasses.replace(account, url=exchange_url(config, listener), ca_file=ca_file)


def exchange_url(config: Config, listener: socket.socket) -> str:
    """Return the simulated exchange's address; certificates are made for names, not numbers."""
    host, port = listener.getsockname()
    is_tls = config.simulator is not None and config.simulator.tls_certificate is not None
    return f"wss://localhost:{port}" if is_tls else f"ws://{host}:{port}"
