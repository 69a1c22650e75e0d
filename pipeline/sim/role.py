"""The simulated exchange of a config, as a supervisor starts it. Floor 4.

Its control channel is `simulator.sock` in the instance's directory, its truth log goes on when a
successor takes over, and the reader that it is gated on is looked for in the same directory.
"""

from __future__ import annotations

import socket
from typing import Final

from pipeline.core import logs
from pipeline.core.config import Config
from pipeline.core.enums import Reason, Role, SegmentKind, State
from pipeline.core.errors import ConfigError, PipelineError, Problem
from pipeline.shm.instance import InstanceView
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.sim.options import DEFAULT_KEYS, SimulatorOptions
from pipeline.sim.pulse import Pulse
from pipeline.sim.server import run_simulator

_log = logs.get_logger(__name__)

CONTROL_NAME: Final = "simulator.sock"
#: It beats at least so often within the time after which it would count as hung.
BEATS_PER_TIMEOUT: Final = 6


def options_of(config: Config, paths: InstancePaths, *, run: str = "") -> SimulatorOptions:
    """Return what a config's [simulator] section asks for; ConfigError when there is none."""
    section = config.simulator
    if section is None:
        raise ConfigError(config.source, [Problem("simulator", "nothing", "a section")])
    gate = section.gate or None
    return SimulatorOptions(
        port=section.port,
        instruments=section.instruments,
        seed=section.seed,
        mode=section.mode,
        interval_s=section.interval_s,
        rate=None if isinstance(section.rate, str) else section.rate,
        packets_per_frame=section.packets_per_frame,
        heartbeat_s=section.heartbeat_s,
        connection_limit=section.connection_limit,
        limit_policy=section.limit_policy,
        tls_cert=None if section.tls_certificate is None else config.path(section.tls_certificate),
        tls_key=None if section.tls_key is None else config.path(section.tls_key),
        keys={**DEFAULT_KEYS, **{a.api_key: a.api_key for a in config.accounts if a.simulated}},
        truth=None if section.truth is None else config.path(section.truth),
        faults=None if section.faults is None else config.path(section.faults),
        control=paths.directory / CONTROL_NAME,
        gate=gate,
        instance_directory=None if gate is None else paths.directory,
        run=run,
    ).checked()


def run_simulator_role(
    config: Config, paths: InstancePaths, listener: socket.socket | None = None
) -> int:
    """Run the exchange of a config until SIGTERM; return the exit code, errors told in the log.

    `listener` is bound and listening, and is closed at the end in this process only.
    """
    run = InstanceView(paths).read().instance_id.hex()
    path = paths.segment(SegmentKind.SIMULATOR_STATUS)
    page = StatusPage(Segment.attach(path, SegmentKind.SIMULATOR_STATUS, writable=True))
    page.begin(Role.SIMULATOR)
    page.set_state(State.LIVE, Reason.STARTED)
    pulse = Pulse(page, config.supervisor.hang_timeout_s / BEATS_PER_TIMEOUT)
    try:
        return run_simulator(options_of(config, paths, run=run), listener, pulse=pulse)
    except PipelineError as error:
        _log.error("%s", error)
        return int(error.exit_code)
