"""The bearer token of an instance: made once, kept over restarts of the control process. Floor 4.

It lies in `secrets/api-token` of the instance's directory, mode 0600, for this user's programs to
read; it ends with the instance, and is in no log.
"""

from __future__ import annotations

import secrets as random
from pathlib import Path
from typing import Final

from pipeline.core.errors import SecretError
from pipeline.core.secrets import Secret, SecretReference, store
from pipeline.shm.names import InstancePaths

TOKEN_BYTES: Final = 32


def token_path(paths: InstancePaths) -> Path:
    """Return where an instance's token lies."""
    return paths.secrets / "api-token"


def own_token(paths: InstancePaths) -> Secret:
    """Return the token, made if there is none, or none that can be used. Raises OSError."""
    path = token_path(paths)
    try:
        return SecretReference("file", str(path)).read().secret
    except SecretError:
        secret = Secret(random.token_urlsafe(TOKEN_BYTES))
        store(path, secret)
        return secret
