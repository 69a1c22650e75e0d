"""Where the gateway is, and the keys of pages over a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.core.clock import real_ns
from pipeline.services.control.api.openalgo.access import (
    PageKeys,
    gateway_address,
    gateway_counts,
    gateway_port,
    key_store,
)
from pipeline.services.control.api.session import Session, Sessions
from pipeline.services.keys import KeyStore, default_file
from pipeline.shm.names import InstancePaths
from tests.services.control.world import pool_config


@pytest.mark.parametrize(
    ("host", "asked", "address"),
    [
        ("127.0.0.1", "localhost:8080", "ws://localhost:8765"),
        ("127.0.0.1", "127.0.0.1:1", "ws://127.0.0.1:8765"),
        ("0.0.0.0", "10.0.0.5:8080", "ws://10.0.0.5:8765"),
        ("::", "[fe80::1]:8080", "ws://[fe80::1]:8765"),
        ("localhost", "[::1]:8080", "ws://[::1]:8765"),
        ("10.0.0.9", "10.0.0.5:8080", "ws://10.0.0.9:8765"),
        ("gateway.lan", "localhost", "ws://gateway.lan:8765"),
    ],
)
def test_the_gateway_has_the_name_that_we_were_asked_by(
    host: str, asked: str, address: str
) -> None:
    assert gateway_address(host, 8765, asked, secure=False) == address
    assert gateway_address(host, 8765, asked, secure=True) == f"wss://{asked}/ws"


def test_without_a_gateway_there_is_no_port_and_no_count(tmp_path: Path) -> None:
    paths = InstancePaths("test", tmp_path)
    assert gateway_port(pool_config(), paths) == 0 and gateway_counts(paths) == {}
    assert gateway_port(pool_config(more="[gateway]\nport = 99\n"), paths) == 99


def test_keys_lie_where_the_gateway_has_them(tmp_path: Path) -> None:
    assert key_store(pool_config()).file == default_file()
    more = f'[gateway]\nkeys_file = "{tmp_path}/k"\n'
    assert key_store(pool_config(more=more)).file == tmp_path / "k"


def _entered(sessions: Sessions) -> Session:
    now = real_ns()
    entered = sessions.enter(sessions.issue_ticket(now), now)
    assert entered is not None
    return entered.session


def test_after_a_restart_the_page_gets_another_key_and_the_old_one_ends(tmp_path: Path) -> None:
    store, file = KeyStore(tmp_path / "keys.sqlite"), tmp_path / "sessions.json"
    sessions = Sessions("test", file)
    session = _entered(sessions)

    async def key_of(sessions: Sessions) -> str | None:
        return await PageKeys(pool_config(), sessions, store).key(session)

    first = asyncio.run(key_of(sessions))
    restarted = Sessions("test", file)
    restarted.restore(real_ns(), {"a"})
    second = asyncio.run(key_of(restarted))
    assert first is not None and second is not None and first != second
    assert store.verify(first) is None and store.verify(second) is not None
    assert first not in file.read_text() and second not in file.read_text()
    assert store.revoke(second.partition(".")[0])
    again = Sessions("test", file)
    again.restore(real_ns(), {"a"})
    assert asyncio.run(key_of(again)) is None


def test_asked_for_at_once_it_is_one(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    sessions = Sessions("test", tmp_path / "sessions.json")
    session = _entered(sessions)

    async def ask() -> list[str | None]:
        keys = PageKeys(pool_config(), sessions, store)
        return list(await asyncio.gather(*(keys.key(session) for _ in range(8))))

    assert len(set(asyncio.run(ask()))) == 1 and len(store.list()) == 1
