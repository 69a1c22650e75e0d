"""Start an instance and stay until it has ended. Floor 5."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ext.process import set_name
from pipeline.core import cpu_latency, secrets
from pipeline.core.config import Config
from pipeline.core.cpu_latency import HeldLatency
from pipeline.core.enums import Reason
from pipeline.core.errors import CpuLatencyRefused, InstanceRunning, ProcessError, SegmentError
from pipeline.core.exit_codes import ExitCode
from pipeline.core.plan import Topology, plan_topology
from pipeline.core.secrets import Secret
from pipeline.shm.instance import InstanceFile, clean_instance
from pipeline.shm.names import InstancePaths
from pipeline.shm.plan import MemoryPlan, free_bytes, plan_memory, require_room
from pipeline.supervisor import establish
from pipeline.supervisor.notify import Notifier
from pipeline.supervisor.signals import SignalInbox
from pipeline.supervisor.supervisor import Ending, Supervisor
from pipeline.supervisor.task import RoleTable

_MIB: Final = 2**20
_KINDS_SHOWN: Final = 3

_log = logging.getLogger(__name__)


def supervise(
    config: Config,
    roles: RoleTable,
    *,
    run_s: float | None = None,
    tokens: Mapping[str, Secret] | None = None,
    latency_root: Path = cpu_latency.ROOT,
) -> int:
    """Run an instance until it is told to end; return the exit code.

    `run_s` bounds the run; `tokens`, by account's name, are written to the instance's secrets
    folder, where the config refers to them; below `latency_root` is the device that
    `cpu_dma_latency_us` is written to. Raises InstanceRunning, ShmFull, SegmentError or PortTaken
    when it cannot start; then nothing is left behind. The calling process must have one thread
    only.
    """
    _require_one_thread()
    notifier = Notifier.from_environment()
    set_name("supervisor")
    root = Path(config.instance.shm_directory)
    paths = InstancePaths(config.instance.name, root)
    topology = plan_topology(config)
    plan = plan_memory(config)
    free_bytes(root)  # tells of a directory that is not there before one is made in it
    with contextlib.closing(SignalInbox()) as inbox, contextlib.ExitStack() as stack:
        listener = establish.listen(config)
        if listener is not None:
            stack.enter_context(listener)
        served = establish.listen_services(config)
        for found in served.values():
            stack.enter_context(found)
        instance = InstanceFile.claim(paths)
        ending = Ending(Reason.SHUTDOWN, ExitCode.FAILED)
        try:
            # After the claim: what a crash left behind has been removed by it.
            require_room(plan, root)
            for name, token in (tokens or {}).items():
                secrets.store(paths.secrets / name, token)
            gated = config.simulator is not None and config.simulator.gate != ""
            establish.make_segments(  # from here on others may attach
                instance, plan, topology, gated=gated, assignment=config.instance.assignment
            )
            _introduce(config, plan, topology, listener, root)
            held = stack.enter_context(_hold_latency(config, latency_root))
            supervisor = Supervisor(
                config, roles, instance, inbox, listener, run_s=run_s, notifier=notifier,
                served=served, own=[] if held is None else [held.close],
            )  # fmt: skip
            gc.collect()
            gc.freeze()  # children share these pages until somebody writes to them
            with contextlib.closing(supervisor):
                ending = supervisor.run()
        finally:
            end_instance(instance, ending)
    return ending.exit_code


def _hold_latency(
    config: Config, root: Path
) -> contextlib.AbstractContextManager[HeldLatency | None]:
    """Keep idle processors near, as the config asks; where that cannot be, say so and go on."""
    wanted_us = config.instance.cpu_dma_latency_us
    if wanted_us is None:
        return contextlib.nullcontext()
    try:
        held = HeldLatency(wanted_us, root=root)
    except CpuLatencyRefused as refused:
        # Ticks matter more than microseconds.
        _log.warning(
            f"[instance] cpu_dma_latency_us = {wanted_us} is not in force, and latencies are what "
            f"they are without it: {refused}"
        )
        return contextlib.nullcontext()
    device = root / cpu_latency.DEVICE
    _log.info(f"idle processors are asked to wake up within {wanted_us} us, by {device}")
    return held


def _require_one_thread() -> None:
    """A fork copies the calling thread alone; what the others held would stay held."""
    tasks = Path("/proc/self/task")
    count = len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()
    if count > 1:
        raise ProcessError(
            "supervisor",
            os.getpid(),
            f"has {count} threads, and one is allowed: start it with pipeline.supervisor.launch, "
            "or set OPENBLAS_NUM_THREADS=1 before numpy is imported",
        )


def end_instance(instance: InstanceFile, ending: Ending) -> None:
    """Take the instance's files away, unless its directory belongs to somebody else by now."""
    if instance.is_in_place():
        instance.end(ending.reason, ending.exit_code)
        return
    instance.abandon(ending.reason, ending.exit_code)
    with contextlib.suppress(InstanceRunning, SegmentError):
        clean_instance(instance.paths)


def _introduce(
    config: Config,
    plan: MemoryPlan,
    topology: Topology,
    listener: socket.socket | None,
    root: Path,
) -> None:
    wanted = sum(len(connection.wanted) for connection in topology.connections)
    connections = _count(len(topology.connections), "connection")
    if topology.pooled:
        wanted = len({token for s in config.subscriptions for token in s.tokens})
        connections = f"a pool of up to {_count(len(topology.possible), 'connection')}"
    _log.info(
        f"instance {config.instance.name}: {connections}, "
        f"{_count(wanted, 'instrument')}, {_count(len(topology.decoders), 'decoder')}"
    )
    largest = ", ".join(
        f"{row.kind.name.lower()} {row.total_bytes / _MIB:.1f}"
        for row in plan.rows()[:_KINDS_SHOWN]
    )
    _log.info(
        f"shared memory: {plan.total_bytes / _MIB:.1f} MiB ({largest}, ...); "
        f"{free_bytes(root) / _MIB:.0f} MiB are left in {root}"
    )
    if listener is not None:
        _log.info(f"simulated exchange: {establish.exchange_url(config, listener)}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
