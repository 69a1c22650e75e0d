"""What a page is given to connect to the gateway: its address, and a key of its own. Floor 4.

A session has one key, made when it is first asked for, listed and revoked as any other. Its text is
in this process's memory alone: after a restart the session gets another, and the old one ends. A
key that somebody revoked is not replaced: whoever did that meant it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Final

from pipeline.core.config import Config
from pipeline.core.enums import SegmentKind
from pipeline.services.control.api.origin import hostname
from pipeline.services.control.api.session import Session, Sessions
from pipeline.services.keys import PAGE_KEY_S, KeyStore, default_file
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment

_NAMED_BY: Final = 12


def key_store(config: Config) -> KeyStore:
    """Return the keys that let clients in, the gateway's and ours."""
    named = None if config.gateway is None else config.gateway.keys_file
    file = default_file() if named is None else config.path(named)
    return KeyStore(file, {account.name: account.owner for account in config.accounts})


class PageKeys:
    """The keys of browsers' sessions."""

    def __init__(self, config: Config, sessions: Sessions, store: KeyStore) -> None:
        self._accounts = [account.name for account in config.accounts]
        self._sessions = sessions
        self._store = store
        self._texts: dict[str, str] = {}
        self._turn = asyncio.Lock()

    async def key(self, session: Session) -> str | None:
        """Return a session's key; None if it was revoked. Raises KeyStoreError."""
        async with self._turn:
            key_id = self._sessions.key_id(session)
            if key_id and key_id not in await asyncio.to_thread(self._store.valid, [key_id]):
                self._texts.pop(session.number, None)
                return None
            text = self._texts.get(session.number)
            if text is None:
                text = await asyncio.to_thread(self._make, session, key_id)
                self._texts[session.number] = text
                self._sessions.note_key(session, text.partition(".")[0])
            return text

    async def forget(self, session: Session) -> None:
        """Revoke the key of a session that has ended. Raises KeyStoreError."""
        async with self._turn:
            self._texts.pop(session.number, None)
            if session.key_id:
                await asyncio.to_thread(self._store.revoke, session.key_id)

    def _make(self, session: Session, before: str) -> str:
        if before:
            self._store.revoke(before)
        name = f"page.{session.number[:_NAMED_BY]}"
        return self._store.add(name, session.account or self._accounts[0], PAGE_KEY_S)


def gateway_port(config: Config, paths: InstancePaths) -> int:
    """Return where the gateway listens; 0 while it does not, or where there is none."""
    if config.gateway is None:
        return 0
    kind = SegmentKind.GATEWAY_STATUS
    try:
        page = StatusPage(Segment.attach(paths.segment(kind), kind))
    except FileNotFoundError:
        return config.gateway.port
    return int(page.record["port"]) or config.gateway.port


def page_gateway(
    config: Config, paths: InstancePaths, asked_host: str, *, secure: bool
) -> str | None:
    """Return where a page connects to that was asked for by `asked_host`; None: no gateway."""
    if config.gateway is None:
        return None
    port = gateway_port(config, paths)
    return gateway_address(config.gateway.host, port, asked_host, secure=secure)


def gateway_address(host: str, port: int, asked_host: str, *, secure: bool) -> str:
    """Return the gateway's address for who calls us by `asked_host`, a `Host` header.

    It listens beside us, by the same name and its own port; behind TLS, at `/ws` of the proxy.
    """
    if secure:
        return f"wss://{asked_host}/ws"
    return socket_address(hostname(asked_host) if _is_anywhere(host) else host, port)


def socket_address(host: str, port: int) -> str:
    """Return a ws:// address."""
    return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"


def _is_anywhere(host: str) -> bool:
    """Whether this host is reached by whatever name we are: loopback, or all addresses."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


def gateway_counts(paths: InstancePaths) -> dict[str, int]:
    """Return the gateway's counts by name; none while there is no gateway."""
    kind = SegmentKind.GATEWAY_STATUS
    try:
        record = StatusPage(Segment.attach(paths.segment(kind), kind)).record
    except FileNotFoundError:
        return {}
    names = record.dtype.names or ()
    return {name: int(record[name]) for name in names if record.dtype[name].kind == "u"}
