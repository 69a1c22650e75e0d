"""What each role's process runs: the adapter between the supervisor and the floors below. Floor 5.

All of it is imported here, before the first fork, so that a successor is a fork away; the
simulated exchange, which needs an optional package, only by `load_simulator`.
"""

from __future__ import annotations

from typing import Final

from pipeline.core.enums import Role
from pipeline.core.extras import import_extra
from pipeline.feed.decoder import Quarantine, run_decoder
from pipeline.feed.process import run_feed
from pipeline.supervisor.strategies import become_host
from pipeline.supervisor.task import RoleTable, Task


def be_feed(task: Task) -> int:
    """Be the feed of a connection."""
    assert task.connection is not None, "a feed is given its connection"
    return run_feed(task.config, task.paths, task.connection)


def be_decoder(task: Task) -> int:
    """Be a decoder."""
    skip = None if task.skip is None else Quarantine(*task.skip)
    return run_decoder(task.config, task.paths, task.number, skip)


def be_simulator(task: Task) -> int:
    """Be the simulated exchange of `[simulator]`."""
    from pipeline.sim.role import run_simulator_role

    return run_simulator_role(task.config, task.paths, task.listener)


def load_simulator() -> None:
    """Import the simulated exchange ahead of the fork; MissingExtra without its package."""
    import pipeline.sim.role  # noqa: F401 (for its side effect: it is loaded)


def be_strategy(task: Task) -> int:
    """Be the host of a `[[strategy]]`: by another program, so this does not return."""
    become_host(task)


def be_control(task: Task) -> int:
    """Be the control process of a pool."""
    from pipeline.services.control.process import run_control

    return run_control(task.config, task.paths, task.listener)


def load_control() -> None:
    """Import the control process ahead of the fork, for an instance that has one."""
    import pipeline.services.control.process  # noqa: F401 (for its side effect: it is loaded)


def be_gateway(task: Task) -> int:
    """Be the gateway of `[gateway]`."""
    from pipeline.services.gateway.process import run_gateway

    return run_gateway(task.config, task.paths, task.listener)


def load_gateway() -> None:
    """Import the gateway ahead of the fork; MissingExtra without its package."""
    import_extra("picows", needed_by="[gateway]")
    import pipeline.services.gateway.process  # noqa: F401 (for its side effect: it is loaded)


ROLES: Final[RoleTable] = {
    Role.FEED: be_feed,
    Role.DECODER: be_decoder,
    Role.SIMULATOR: be_simulator,
    Role.STRATEGY: be_strategy,
    Role.CONTROL: be_control,
    Role.GATEWAY: be_gateway,
}
