"""Reading a user's own file of limits. Floor 3; `pipeline.brokers.limits_file` has its shape."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.brokers.limits_file import own_limits
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.rates import RestLimits

LIMITS_BYTES_MAX: Final = 2**20


def read_limits(path: Path, shipped: RestLimits) -> RestLimits:
    """Return `shipped` with what a file replaces; raise ConfigError with every problem in it."""
    try:
        with path.open("rb") as file:
            content = file.read(LIMITS_BYTES_MAX + 1)
    except OSError as error:
        problem = Problem("file", str(error.strerror), "a readable file of limits")
        raise ConfigError(str(path), [problem]) from None
    if len(content) > LIMITS_BYTES_MAX:
        problem = Problem("file", f"over {LIMITS_BYTES_MAX} bytes", "a file of limits")
        raise ConfigError(str(path), [problem])
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = Problem(f"line {line}", f"the byte 0x{content[error.start]:02x}", "UTF-8 text")
        raise ConfigError(str(path), [problem]) from None
    return own_limits(text, source=str(path), shipped=shipped)
