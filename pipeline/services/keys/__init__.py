"""API keys of the gateway and of `/api/v1`: made, listed, revoked and verified. Floor 4.

Shared by the services that let clients in. A key is shown once, when it is made; what is kept is a
digest of it. No network here, no event loop, and no key in a log, an error or a `repr`.
"""

from __future__ import annotations

from pipeline.services.keys.store import (
    DEFAULT_OWNER,
    PAGE_KEY_S,
    BadKeyName,
    KeyInfo,
    KeyStore,
    KeyStoreError,
    Principal,
    default_file,
)

__all__ = [
    "DEFAULT_OWNER",
    "PAGE_KEY_S",
    "BadKeyName",
    "KeyInfo",
    "KeyStore",
    "KeyStoreError",
    "Principal",
    "default_file",
]
