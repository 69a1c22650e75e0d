"""Tell a service manager how we are: the sd_notify protocol, spoken by ourselves. Floor 5.

Datagrams of `KEY=value` lines to the socket that NOTIFY_SOCKET names (systemd documentation,
sd_notify: READY=1, STOPPING=1, STATUS=..., WATCHDOG=1; sd_watchdog_enabled: WATCHDOG_USEC and
WATCHDOG_PID). Without that variable every call does nothing. Never waits: what the manager does
not take at once is sent again at the next turn, of all statuses the newest alone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final, Self

_NS_PER_US: Final = 1000
#: systemd asks for a sign at half of the time that it waits.
_SIGNS_PER_PERIOD: Final = 2
_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """The manager's socket; `address` empty: there is no manager."""

    def __init__(self, address: str | bytes = "", *, watchdog_ns: int = 0) -> None:
        self._address = address
        self._interval_ns = watchdog_ns // _SIGNS_PER_PERIOD
        self._sign_at_ns = 0
        self._status = ""
        self._unsent: dict[str, str] = {}  # a message of each kind at most, in their order

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] | None = None) -> Self:
        """Return the notifier that the environment asks for, and take its variables away.

        So no child speaks to the manager in our name. A name that begins with @ is abstract.
        """
        found = os.environ if environment is None else environment
        name, period_us, pid = (found.pop(variable, "") for variable in _VARIABLES)
        if not name.startswith(("/", "@")):
            return cls()
        address = b"\0" + os.fsencode(name[1:]) if name.startswith("@") else name
        ours = pid in ("", str(os.getpid()))
        watched = ours and period_us.isascii() and period_us.isdigit()
        return cls(address, watchdog_ns=int(period_us) * _NS_PER_US if watched else 0)

    def ready(self, status: str) -> None:
        """Say that everything runs."""
        self._status = status
        self._say("READY", f"READY=1\nSTATUS={status}")

    def stopping(self, status: str) -> None:
        """Say that the end has begun."""
        self._status = status
        self._say("STOPPING", f"STOPPING=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Say in a line how things are, if that changed."""
        if text != self._status:
            self._status = text
            self._say("STATUS", f"STATUS={text}")

    def beat(self, now_ns: int, *, healthy: bool) -> None:
        """Give the watchdog its sign when it is due; call on every turn, time is monotonic.

        While not `healthy` it gets none, and the manager will kill and restart us.
        """
        self._flush()
        due = self._interval_ns and healthy and now_ns >= self._sign_at_ns
        # What is not taken is not kept: it would say later that all is well, when it may not be.
        if due and not self._unsent and self._send("WATCHDOG=1"):
            self._sign_at_ns = now_ns + self._interval_ns

    def _say(self, kind: str, text: str) -> None:
        if self._address:
            self._unsent.pop("STATUS", None)  # each message has one that is newer
            self._unsent[kind] = text
            self._flush()

    def _flush(self) -> None:
        for kind in list(self._unsent):
            if not self._send(self._unsent[kind]):
                return
            del self._unsent[kind]

    def _send(self, text: str) -> bool:
        """Return whether it was taken; not if nobody is there, or we have no descriptor left."""
        # A socket for each message: nothing to inherit, and two a second are no cost.
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), self._address)
        except OSError:
            return False
        return True
