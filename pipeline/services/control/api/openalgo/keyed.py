"""Whom an API key lets in, and how often it may ask. Floor 4.

Keys are looked up in a thread: they lie on a disk. A key that is wrong, unknown, expired, or of an
account that this instance does not have is answered the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from pipeline.core.clock import monotonic_ns
from pipeline.services.keys import KeyStore, Principal
from pipeline.services.strangers import Allowance

_KEYS_MAX: Final = 1024


class TooOften(Exception):
    """A key that has asked too often; after `wait_s` it may again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class Doorkeeper:
    """Verifies keys; `per_s` are the questions of one key."""

    def __init__(self, store: KeyStore, per_s: float) -> None:
        self._store = store
        self._per_s = per_s
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()

    async def admit(self, key: str) -> Principal | None:
        """Return whom a key lets in. Raises TooOften, and KeyStoreError."""
        principal = await asyncio.to_thread(self._store.verify, key)
        if principal is None or principal.owner is None:
            return None
        allowance = self._allowances.pop(principal.key_id, None) or Allowance(self._per_s)
        self._allowances[principal.key_id] = allowance
        if len(self._allowances) > _KEYS_MAX:
            self._allowances.popitem(last=False)
        wait_s = allowance.take(monotonic_ns())
        if wait_s:
            raise TooOften(wait_s)
        return principal
