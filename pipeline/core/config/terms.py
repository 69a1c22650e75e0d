"""Words and numbers that several sections of a config have in common. Floor 1."""

from __future__ import annotations

from typing import Final

from pipeline.core.config.fields import Text

NAME_PATTERN: Final = "[a-z0-9-]{1,32}"
NAME_ALLOWED: Final = "1 to 32 of a-z, 0-9 and -"
#: Whose accounts are that name no owner.
DEFAULT_OWNER: Final = "default"
SIMULATOR_URL: Final = "simulator"
#: In the handshake with a simulated exchange: which connection this is, for its truth log.
SIMULATOR_CONNECTION_HEADER: Final = "X-Pipeline-Connection"
SIMULATOR_KEYS: Final = ("demo", "demo2", "demo3")
TOKEN_HINT: Final = (
    "keep the token in a file of its own (umask 077; cat > kite-token) "
    'and name that: access_token = "file:kite-token"'
)
#: The classes of instruments, the most urgent first.
PRIORITIES: Final = ("critical", "hot", "warm", "cold")
MIB: Final = 2**20
PATH: Final = Text(r"[^\0]+", "a path, relative to this file")
