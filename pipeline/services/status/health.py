"""What is wrong with an instance, in words; nothing means healthy. Floor 4; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pipeline.core.enums import InstanceState, State
from pipeline.core.exit_codes import ExitCode
from pipeline.services.status.model import Connection, InstanceStatus

#: A process whose heartbeat is older counts as hung.
HEARTBEAT_AGE_S_MAX: Final = 3.0
#: An account of a living feed is off by the message that it is counting.
_COUNTING: Final = 1


def problems(status: InstanceStatus) -> list[str]:
    """Return a line per problem: dead or hung processes, connections that are not live, accounts
    that do not balance."""
    if not status.supervisor_alive:
        return [f"its supervisor (process {status.supervisor_pid}) is dead"]
    if status.state != InstanceState.RUNNING.name:
        return [f"the instance is {status.state.lower()} ({status.reason})"]
    return [
        *_processes(status),
        *(line for connection in status.connections for line in _connection(connection)),
    ]


def _processes(status: InstanceStatus) -> Iterator[str]:
    for process in status.processes:
        if process.circuit_open:
            what = "cannot run" if process.last_exit_code == ExitCode.CONFIG else "keeps dying"
            yield f"{process.name} {what} ({process.last_exit_reason}); tried once a minute"
        elif not process.alive and not process.is_done:
            yield f"{process.name} does not run"
    gateway = status.gateway
    if gateway is not None and gateway.alive:
        age_s = gateway.heartbeat_age_s or 0
        if age_s > HEARTBEAT_AGE_S_MAX:
            yield f"the gateway gave no sign for {age_s:.1f} s"
        for balance in gateway.imbalances:
            yield f"{balance.stage} do not balance, off by {balance.difference}"
    for strategy in status.strategies:
        if strategy.is_slow:
            yield f"strategy {strategy.name} is in {strategy.phase} for {strategy.phase_s:.1f} s"
    for decoder in status.decoders:
        if decoder.alive and (decoder.heartbeat_age_s or 0) > HEARTBEAT_AGE_S_MAX:
            yield f"decoder {decoder.number} gave no sign for {decoder.heartbeat_age_s:.1f} s"


def _connection(connection: Connection) -> Iterator[str]:
    name = f"connection {connection.number}"
    if connection.state != State.LIVE.name and connection.instruments.assigned:
        yield (f"{name} is {connection.state} ({connection.reason}) for {connection.since_s:.1f} s")
    if connection.feed_alive and (connection.heartbeat_age_s or 0) > HEARTBEAT_AGE_S_MAX:
        yield f"{name}: its feed gave no sign for {connection.heartbeat_age_s:.1f} s"
    for balance in connection.balances:
        if abs(balance.difference) > _COUNTING:
            yield f"{name}: {balance.stage} do not balance, off by {balance.difference}"
