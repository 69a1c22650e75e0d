"""Whom the simulated exchange lets in: keys, tokens, limits, refusals on request. Floor 4; no I/O.

Wire facts: Kite Connect v3 documentation, WebSocket streaming: `?api_key=...&access_token=...`;
403 for a rejected pair. Time is passed in, in seconds of one clock.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit


class Refusal(NamedTuple):
    """An HTTP answer instead of a WebSocket."""

    status: HTTPStatus
    text: str
    retry_after_s: int | None = None


class Admitted(NamedTuple):
    """Whose connection this is."""

    key: str


@dataclass
class _RefusalWindow:
    refusal: Refusal
    left: int | None
    until_s: float | None
    key: str | None

    def applies(self, key: str, now_s: float) -> bool:
        if self.key not in (None, key) or (self.until_s is not None and now_s >= self.until_s):
            return False
        if self.left is None:
            return True
        self.left -= 1
        return self.left >= 0


@dataclass
class Admission:
    """The door: decides about each opening request, and can be told to refuse."""

    keys: Mapping[str, str] = field(repr=False)
    connection_limit: int = 3
    limit_policy: str = "refuse"

    def __post_init__(self) -> None:
        self._tokens = dict(self.keys)
        self._windows: list[_RefusalWindow] = []

    def decide(self, path: str, *, live: Mapping[str, int], now_s: float) -> Admitted | Refusal:
        """Decide about a request's path; `live` counts the open connections of each key."""
        parts = urlsplit(path)
        if parts.path not in ("", "/"):
            return Refusal(HTTPStatus.NOT_FOUND, "Not found")
        query = parse_qs(parts.query)
        key, token = (query.get(name, [""])[0] for name in ("api_key", "access_token"))
        if not key or not token:
            return Refusal(HTTPStatus.BAD_REQUEST, "Missing api_key or access_token")
        for window in self._windows:
            if window.applies(key, now_s):
                return window.refusal
        if not self.knows(key, token):
            return Refusal(HTTPStatus.FORBIDDEN, "Authentication failed")
        if self.limit_policy == "refuse" and live.get(key, 0) >= self.connection_limit:
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, "Too many connections", 5)
        return Admitted(key)

    def evicts(self, key: str, live: int) -> bool:
        """Say whether the key's oldest connection has to go for the one just admitted."""
        del key
        return self.limit_policy == "evict" and live >= self.connection_limit

    def knows(self, key: str, token: str) -> bool:
        """Say whether this is the key's token of now."""
        expected = self._tokens.get(key)
        return expected is not None and hmac.compare_digest(expected.encode(), token.encode())

    def revoke(self, key: str) -> None:
        """Refuse this key's token from now on; open connections stay."""
        self._tokens.pop(key, None)

    def restore(self, key: str, token: str | None = None) -> None:
        """Accept this key again, with its first token or a new one."""
        self._tokens[key] = token if token is not None else self.keys.get(key, key)

    def refuse(
        self,
        refusal: Refusal,
        *,
        now_s: float,
        count: int | None = None,
        for_s: float | None = None,
        key: str | None = None,
    ) -> None:
        """Refuse the next `count` openings, or all for `for_s` seconds; one if neither is said."""
        if count is None and for_s is None:
            count = 1
        until_s = None if for_s is None else now_s + for_s
        self._windows = [w for w in self._windows if w.left is None or w.left > 0]
        self._windows.append(_RefusalWindow(refusal, count, until_s, key))

    def admit_again(self) -> None:
        """End every refusal that was asked for."""
        self._windows.clear()
