"""What the supervisor gives to a role's process, and the shape of the table of roles. Floor 5.

The supervisor takes such a table, so that tests can run it with roles that crash, hang or ignore
signals.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.core.config import Config
from pipeline.core.enums import Role
from pipeline.core.plan import ConnectionPlan
from pipeline.shm.names import InstancePaths
from pipeline.strategy.items import Restart


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a role's process is given: all of it is inherited by the fork.

    `connection` is a feed's; `restart` says how the strategy's process before this one ended;
    `skip` is the (connection, source sequence) of a frame that killed two decoders in a row;
    `listener` the listening socket of the simulated exchange, or of the control process's HTTP API.
    """

    role: Role
    number: int
    config: Config
    paths: InstancePaths
    connection: ConnectionPlan | None = None
    skip: tuple[int, int] | None = None
    restart: Restart | None = None
    listener: socket.socket | None = None


RoleFunction = Callable[[Task], int]
RoleTable = Mapping[Role, RoleFunction]
