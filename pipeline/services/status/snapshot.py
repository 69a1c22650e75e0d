"""Read an instance's pages from outside, live or dead. Floor 4; maps everything read-only.

Talks to no process and takes no lock, so it works as well after a crash.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.core.clock import NS_PER_S, monotonic_ns, real_ns
from pipeline.core.enums import InstanceState
from pipeline.core.errors import InstanceError
from pipeline.services.status.connections import read_connections
from pipeline.services.status.gateways import read_gateway
from pipeline.services.status.model import InstanceStatus
from pipeline.services.status.processes import processes, read_decoders, read_supervisor
from pipeline.services.status.readers import read_pages, reader, slowest
from pipeline.services.status.strategies import read_strategies
from pipeline.shm.instance import InstanceInfo, InstanceView, not_found
from pipeline.shm.names import InstancePaths

#: A connection may leave between the manifest and its pages; then the next manifest lacks it.
_LOOKS: Final = 3


def snapshot(paths: InstancePaths) -> InstanceStatus:
    """Return what the pages of an instance say now.

    Raises InstanceNotFound naming those that there are when nothing is left of it,
    InstanceError when one of its segments is missing, LayoutMismatch when another build made it.
    """
    supervisor_pid, missing = 0, ""
    for _ in range(_LOOKS):
        try:
            view = InstanceView(paths)
            info = view.read() if view.version else None
        except FileNotFoundError:
            break
        if info is None or info.state is InstanceState.ENDED:
            break
        try:
            return _status(paths, info)
        except FileNotFoundError as error:
            # Taken away by the next manifest, or by somebody else.
            supervisor_pid, missing = info.supervisor_pid, str(error.filename)
    else:
        raise InstanceError(
            f"instance {paths.name!r} cannot be read: {missing} is in its manifest and not there, "
            f"so somebody removed it; end the instance (kill {supervisor_pid}) and start it "
            f"again, or, when it is dead: python -m pipeline clean {paths.name}"
        )
    raise not_found(paths.name, paths.root)


def _status(paths: InstancePaths, info: InstanceInfo) -> InstanceStatus:
    now, now_ts = monotonic_ns(), real_ns()
    supervisor = read_supervisor(paths, info.manifest)
    pages = read_pages(paths)
    connections = read_connections(paths, info.manifest, slowest(pages), now)
    running = processes(supervisor, now)
    tails = {c.number: c.ticks.tail for c in connections}
    return InstanceStatus(
        name=info.name,
        instance_id=info.instance_id.hex(),
        state=info.state.name,
        reason=info.reason.name,
        live=info.is_live,
        supervisor_pid=info.supervisor_pid,
        supervisor_alive=info.supervisor_alive,
        started_ts_ns=info.started_ts_ns,
        changed_ts_ns=info.changed_ts_ns,
        taken_ts_ns=now_ts,
        taken_mono_ns=now,
        uptime_s=(now_ts - info.started_ts_ns) / NS_PER_S,
        gated=info.gated,
        manifest_version=info.manifest_version,
        shm_bytes=_bytes_of(paths.directory),
        forks=int(supervisor["forks"]),
        deaths=int(supervisor["deaths"]),
        kills=int(supervisor["kills"]),
        processes=running,
        connections=connections,
        decoders=read_decoders(paths, info.manifest, now),
        readers=[reader(page, tails, now) for page in pages],
        strategies=read_strategies(paths, running, now),
        gateway=read_gateway(paths, running, now),
    )


def _bytes_of(folder: Path) -> int:
    return sum(p.stat().st_blocks * 512 for p in folder.rglob("*") if p.is_file())
