"""What an instance's control process tells of its pool, for `top`. Floor 6.

`top` is there for instances that are sick, too: a control process that is dead, hung or not there
costs it a fraction of a second now and then, and a line says so.
"""

from __future__ import annotations

import os
import time
from typing import Any, Final, NamedTuple

from pipeline.core.errors import ControlError
from pipeline.services.control.screen.document import pool_document
from pipeline.shm.names import InstancePaths
from pipeline.strategy.control_client import ControlClient

TIMEOUT_S: Final = 0.5
#: After a failure it is left alone for so long.
AGAIN_S: Final = 3.0


class PoolView(NamedTuple):
    """`figures` as the screen has them, and the open alerts; `problem`: why there are none."""

    figures: dict[str, Any]
    alerts: list[dict[str, Any]]
    problem: str = ""


class PoolFigures:
    """A pool's figures, as often as one likes."""

    def __init__(self, paths: InstancePaths) -> None:
        self._paths = paths
        self._client: ControlClient | None = None
        self._not_before_s = 0.0
        self._found: PoolView | None = None

    def read(self) -> PoolView | None:
        """Return what the pool is now; None for an instance without one."""
        if not self._paths.control_socket.exists():
            self.close()
            return None
        if time.monotonic() >= self._not_before_s:
            try:
                self._found = self._ask()
            except ControlError:
                self.close()
                self._not_before_s = time.monotonic() + AGAIN_S
                self._found = PoolView({}, [], "its control process does not answer")
        return self._found

    def close(self) -> None:
        """Let go of the control process."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self) -> PoolView:
        if self._client is None:
            name = f"top.{os.getpid()}"
            self._client = ControlClient(
                self._paths.control_socket, client=name, timeout_s=TIMEOUT_S
            )
            self._client.hello()
        stats, health = self._client.ask("stats"), self._client.ask("health")
        return PoolView(pool_document(stats, health), health["alerts"])
