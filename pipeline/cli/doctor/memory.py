"""Checks that need the compiled modules: the memory plan and what instances left. Floor 6."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipeline.brokers.registry import broker_limits
from pipeline.cli.configuration import load_config
from pipeline.cli.doctor.finding import Finding, Level, Machine, as_root, mebibytes
from pipeline.core.config import Config, parse
from pipeline.core.errors import ConfigError, SegmentError
from pipeline.shm.instance import list_instances
from pipeline.shm.names import user_directory
from pipeline.shm.plan import MemoryPlan, free_bytes

#: Three full connections of the simulated exchange, when no config is given.
DEFAULT_CONFIG = """
[simulator]
[[account]]
name = "exchange"
url = "simulator"
api_key = "demo"
[[connection]]
account = "exchange"
[[connection]]
account = "exchange"
[[connection]]
account = "exchange"
"""


def default_config() -> Config:
    """Return what is planned for when no file is named."""
    return parse(DEFAULT_CONFIG, limits=broker_limits(), source="(three connections of 3,000)")


def read_config(path: Path | None) -> tuple[Config | None, list[Finding]]:
    """Return the config to plan for and what is wrong with it; None when it is unusable."""
    if path is None:
        return default_config(), []
    try:
        warnings: list[str] = []
        config = load_config(path, warnings=warnings)
    except ConfigError as error:
        found = [
            Finding(Level.BAD, "config", f"{problem.path}: found {problem.found}",
                    problem.hint or f"expected {problem.allowed}")
            for problem in error.problems
        ]  # fmt: skip
        return None, found
    told = [Finding(Level.WARN, "config", warning) for warning in warnings]
    return config, [Finding(Level.OK, "config", f"{path} is in order"), *told]


def check_room(machine: Machine, plan: MemoryPlan, directory: Path) -> Iterator[Finding]:
    """Whether the plan fits the file system and the memory."""
    needed = plan.total_bytes
    try:
        free = free_bytes(directory)
    except SegmentError as error:
        yield Finding(Level.BAD, "shared memory", str(error), f"ls -ld {directory}")
        return
    text = f"{mebibytes(free)} free in {directory}, {mebibytes(needed)} planned"
    size = f"{-(-2 * needed // 2**20)}m"
    mend = f"{as_root(f'mount -o remount,size={size} {directory}')}; container: --shm-size={size}"
    if not os.access(directory, os.W_OK):
        text = f"{directory} cannot be written"
        yield Finding(Level.BAD, "shared memory", text, as_root(f"chmod 1777 {directory}"))
    elif free < needed:
        text += f"; or lower {plan.key_to_lower}"
        yield Finding(Level.BAD, "shared memory", text, mend)
    else:
        yield Finding(Level.OK, "shared memory", text)
    kind = _file_system(machine, directory)
    if kind not in ("tmpfs", "ramfs", ""):
        text = f"{directory} is on {kind}, not in memory: the disk would be written all the time"
        yield Finding(Level.WARN, "shared memory", text, '[instance] shm_directory = "/dev/shm"')
    available = psutil.virtual_memory().available
    if available < 2 * needed:
        text = f"{mebibytes(available)} available, twice the plan is {mebibytes(2 * needed)}"
        mend = f"lower {plan.key_to_lower}, or end other programs"
        yield Finding(Level.WARN, "memory", text, mend)
    else:
        yield Finding(Level.OK, "memory", f"{mebibytes(available)} available")


def _file_system(machine: Machine, directory: Path) -> str:
    """Return the type of the mount that a directory lies on; "" where it is not told."""
    best = ("", "")
    for line in (machine.read("proc/mounts") or "").splitlines():
        fields = line.split()
        if len(fields) >= 3 and directory.is_relative_to(fields[1]):
            best = max(best, (fields[1], fields[2]), key=lambda pair: len(pair[0]))
    return best[1]


def check_instances(machine: Machine, root: Path) -> Iterator[Finding]:
    """Our directory, the instances that run, and those that a crash left."""
    directory = user_directory(root)
    if not directory.exists() and not directory.is_symlink():
        yield Finding(Level.OK, "instances", "none")
        return
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        text = f"{directory} is not a directory of ours: somebody else made it"
        yield Finding(Level.BAD, "instances", text, as_root(f"rm -rf {directory}"))
        return
    if found.st_mode & 0o077:
        text = f"{directory} is open to others"
        yield Finding(Level.BAD, "instances", text, f"chmod 700 {directory}")
        return
    running = []
    known = list_instances(root)
    for instance in known:
        if instance.is_live:
            running.append(f"{instance.name} (process {instance.supervisor_pid})")
        else:
            text = f"{instance.name} ended without tidying up"
            mend = f"python -m pipeline clean {instance.name}"
            yield Finding(Level.WARN, "instances", text, mend)
    names = {instance.name for instance in known}
    for path in sorted(directory.iterdir()):
        if path.name not in names:
            text = f"{path} holds what this build cannot read"
            yield Finding(Level.WARN, "instances", text, f"rm -r {path}")
    yield Finding(Level.OK, "instances", "running: " + (", ".join(running) or "none"))
