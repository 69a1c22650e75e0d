"""Keys let in whom they name, so often."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.services.control.api.openalgo.keyed import Doorkeeper, TooOften
from pipeline.services.keys import KeyStore


def test_each_key_has_its_own_allowance(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite", {"a": "alice"})
    keys = [store.add(name, "a") for name in ("one", "two")]
    doorkeeper = Doorkeeper(store, 0.001)

    async def ask() -> None:
        for key in keys:
            principal = await doorkeeper.admit(key)
            assert principal is not None and principal.owner == "alice"
            with pytest.raises(TooOften) as raised:
                await doorkeeper.admit(key)
            assert raised.value.wait_s > 1

    asyncio.run(ask())


def test_nobody_else_is_let_in(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite", {"a": "alice"})
    stranger = store.add("three", "elsewhere")
    doorkeeper = Doorkeeper(store, 1000.0)

    async def ask() -> None:
        for key in ("", "x", stranger, stranger[:-1]):
            assert await doorkeeper.admit(key) is None

    asyncio.run(ask())
