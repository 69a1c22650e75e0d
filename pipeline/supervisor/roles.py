"""What each role's process runs: the adapter between the supervisor and the floors below. Floor 5.

All of it is imported here, before the first fork, so that a successor is a fork away.
"""

from __future__ import annotations

from typing import Final

from pipeline.core.enums import Role
from pipeline.feed.decoder import Quarantine, run_decoder
from pipeline.feed.process import run_feed
from pipeline.sim.role import run_simulator_role
from pipeline.supervisor.task import RoleTable, Task


def be_feed(task: Task) -> int:
    """Be the feed of a connection."""
    return run_feed(task.config, task.paths, task.number)


def be_decoder(task: Task) -> int:
    """Be a decoder."""
    skip = None if task.skip is None else Quarantine(*task.skip)
    return run_decoder(task.config, task.paths, task.number, skip)


def be_simulator(task: Task) -> int:
    """Be the simulated exchange of `[simulator]`."""
    return run_simulator_role(task.config, task.paths, task.listener)


ROLES: Final[RoleTable] = {
    Role.FEED: be_feed,
    Role.DECODER: be_decoder,
    Role.SIMULATOR: be_simulator,
}
