"""A KiteTicker's arguments, checked, as the config of its instance. Floor 7; pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from pipeline.brokers.registry import load_broker
from pipeline.kite.instance import ACCOUNT

#: What the keys that are derived from an argument take; see `config reference`.
_CONNECT_TIMEOUT_S: Final = (0.1, 120.0)
_BACKOFF_MAX_S: Final = (5.0, 3600.0)
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

_CONFIG: Final = """
[instance]
name = {name}
shm_directory = {root}
log_level = {level}
log_format = "json"
assignment = "facade"
[[account]]
name = {account}
url = {url}
api_key = {api_key}
access_token = {token}
[feed]
connect_timeout_s = {connect_timeout_s}
backoff_max_s = {backoff_max_s}
"""
_CONNECTION: Final = """
[[connection]]
account = {account}
instruments_max = {instruments_max}
"""
#: Outside of these hours ticks may come, but none are missed.
_HOURS: Final = """
[session.hours]
open = "09:15"
close = "15:30"
"""


class Settings(NamedTuple):
    """What of a KiteTicker's arguments shapes its instance."""

    url: str
    api_key: str
    connect_timeout: float
    reconnect_max_delay: float
    connections: int
    debug: bool


def check(settings: Settings, access_token: object) -> None:
    """Raise ValueError, in one sentence, for what no connection can be made with."""
    for name, value in (("api_key", settings.api_key), ("access_token", access_token)):
        if not isinstance(value, str) or not value.strip():
            kind = "nothing" if not value else type(value).__name__
            raise ValueError(
                f"{name}: found {kind}, expected text; KiteTicker(api_key, access_token) takes "
                "today's access token, which KiteConnect.generate_session returns"
            )
    parts = urlsplit(settings.url)
    if parts.scheme != "wss" and not (parts.scheme == "ws" and parts.hostname in _LOOPBACK):
        raise ValueError(
            f"root {settings.url!r}: expected wss://..., or ws:// on this machine: the token "
            "would travel readable"
        )
    limit = load_broker("kite").limits.connections_per_key
    if not 1 <= settings.connections <= limit:
        raise ValueError(
            f"connections={settings.connections}: expected 1 to {limit}, Kite's limit for a key"
        )


def instance_config(settings: Settings, *, name: str, root: Path, token_file: Path) -> str:
    """Return the config of the instance, as TOML."""
    text = _CONFIG.format(
        name=_quoted(name),
        root=_quoted(str(root)),
        level=_quoted("debug" if settings.debug else "warning"),
        account=_quoted(ACCOUNT),
        url=_quoted(settings.url),
        api_key=_quoted(settings.api_key),
        token=_quoted(f"file:{token_file}"),
        connect_timeout_s=_within(settings.connect_timeout, _CONNECT_TIMEOUT_S),
        backoff_max_s=_within(settings.reconnect_max_delay, _BACKOFF_MAX_S),
    )
    connection = _CONNECTION.format(account=_quoted(ACCOUNT), instruments_max=capacity())
    text += connection * settings.connections
    return text if urlsplit(settings.url).hostname in _LOOPBACK else text + _HOURS


def capacity() -> int:
    """Return how many instruments one connection carries."""
    return load_broker("kite").limits.instruments_per_connection


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # TOML reads what JSON escapes the same way


def _within(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return float(min(max(value, low), high))
