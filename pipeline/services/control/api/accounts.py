"""A new access token for an account, put where its config says it is kept. Floor 4."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pipeline.core.config import Config
from pipeline.core.secrets import Secret, store
from pipeline.services.control.refused import Refused
from pipeline.shm.names import InstancePaths


async def put_token(
    config: Config, paths: InstancePaths, account_id: str, token: Secret
) -> dict[str, Any]:
    """Write an account's token; its feeds use it at their next connect. Raises Refused.

    A token that came by the environment lies in the instance's directory and is written there,
    for as long as the instance lives; that of a simulated exchange is its key, and cannot be.
    """
    account = next((a for a in config.accounts if a.name == account_id), None)
    if account is None:
        known = ", ".join(a.name for a in config.accounts)
        raise Refused("not_found", f"Account {account_id[:60]!r} not found; known: {known}")
    reference = config.secret(account)
    if reference.scheme != "file":
        text = f"the token of account {account.name} is no file ({reference.scheme}): name one"
        raise Refused("conflict", f'{text} in the config, access_token = "file:PATH"')
    path = Path(reference.location)
    if path.parent == paths.secrets:
        text = f"the token of account {account.name} comes from the environment (env:)"
        raise Refused("conflict", f'{text}: keep it in a file, access_token = "file:PATH"')
    try:
        await asyncio.to_thread(store, path, token)
    except OSError as error:
        text = f"the token of account {account.name} cannot be written: {error.strerror}"
        raise Refused("unavailable", f"{text} (its folder has to be there and writable)") from None
    return {"account_id": account.name, "accepted": True}
