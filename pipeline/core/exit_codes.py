"""Exit codes of every command, after sysexits. Floor 1.

A supervisor such as systemd decides by them: 75 is worth a restart, 77 and 78 are not.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's end means."""

    DONE = 0  # also after SIGTERM, once drained
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 69  # the broker's REST cannot be reached; `run` goes on trying instead
    CANNOT_CREATE = 73  # no shared memory, or the instance runs already
    TEMPORARY = 75
    AUTH = 77  # the token was rejected
    CONFIG = 78
    INTERRUPTED = 130  # SIGINT
