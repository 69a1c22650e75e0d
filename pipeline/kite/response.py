"""What KiteTicker's callbacks get besides data: autobahn's objects, as far as they go. Floor 7.

kiteconnect hands out autobahn's own `ConnectionResponse`, and its protocol object as `ws.ws`. Here
the handshake happens in another process, so these carry what is known without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final, NoReturn
from urllib.parse import urlsplit

#: The protocol version that autobahn reports: its last draft, which became RFC 6455.
_SPEC_VERSION: Final = 18


@dataclass(frozen=True)
class ConnectionResponse:
    """The server's answer to the opening, for `on_connect`; the headers stay in the feed."""

    peer: str
    headers: dict[str, str] = field(default_factory=dict)
    version: int = _SPEC_VERSION
    protocol: str | None = None
    extensions: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, url: str) -> ConnectionResponse:
        """Return the answer of the server at an address; nothing else of it is kept."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        return cls(peer=f"tcp4:{parts.hostname}:{port}")


class Connection:
    """Stands where kiteconnect has autobahn's protocol object: `state`, `sendClose`."""

    STATE_CLOSED: ClassVar = 0
    STATE_CONNECTING: ClassVar = 1
    STATE_CLOSING: ClassVar = 2
    STATE_OPEN: ClassVar = 3

    def __init__(self, close: Callable[[int | None, str | None], None]) -> None:
        self.state = self.STATE_CONNECTING
        self._close = close

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:  # noqa: N802
        """Close the connection."""
        self._close(code, reason)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"ws.ws.{name} is autobahn's, which is not used here: there are `state` and "
            "`sendClose`, and KiteTicker's own methods (subscribe, set_mode, is_connected, ...)"
        )
