"""`socket_url`: the address that kiteconnect's users read, and set, as one text. Floor 7; pure.

It holds the token, so that it is put together when it is asked for, and taken apart when it is set.
What may be set is what kiteconnect itself makes, and `user_id`, which Kite's sandbox wants behind
it: a text with another token in it would carry that into configs and logs.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from pipeline.core.secrets import Secret

_KNOWN: Final = ("api_key", "access_token", "user_id")
_USER_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}")


class Address(NamedTuple):
    """Where to connect, and as whom; `access_token` is what the user gave if it is no text."""

    root: str
    api_key: str
    access_token: Secret | None
    user_id: str | None = None

    @property
    def endpoint(self) -> str:
        """The address for a config: without key and token."""
        return self.root if self.user_id is None else f"{self.root}?user_id={self.user_id}"

    @property
    def socket_url(self) -> str:
        """The address with key and token; it is not for logs."""
        token = self.access_token.reveal() if self.access_token else None
        user = "" if self.user_id is None else f"&user_id={self.user_id}"
        return f"{self.root}?api_key={self.api_key}&access_token={token}{user}"


def read_address(url: str) -> Address:
    """Return what a `socket_url` says; raise ValueError, without its secrets, for any other."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    found = dict(pairs)
    unknown = [name for name in found if name not in _KNOWN]
    missing = [name for name in _KNOWN[:2] if not found.get(name)]
    if unknown or missing or len(found) < len(pairs) or parts.fragment:
        what = f"unknown {unknown[0]!r}" if unknown else f"no {missing[0]}" if missing else "more"
        raise ValueError(
            f"socket_url: found {what}; expected wss://...?api_key=...&access_token=..., and "
            "&user_id=... behind it where the server wants one"
        )
    user_id = found.get("user_id")
    if user_id is not None and not _USER_ID.fullmatch(user_id):
        raise ValueError("socket_url: user_id: expected 1 to 32 letters and digits")
    root = parts._replace(query="", fragment="").geturl()
    return Address(root, found["api_key"], Secret(found["access_token"]), user_id)
