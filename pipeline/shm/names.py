"""Where an instance's files lie. Floor 2; touches the file system only to make directories.

<root>/pipeline-<uid>/<instance>/    0700
    instance                         who supervises it, its state and its segments
    instance.bell  supervisor.status
    a<account>.account
    c<connection>.frames .orders .text .ticks .events .assignment .wire .confirmed .status
    d<decoder>.latest .bell .status
    s<strategy>.status               one per hosted strategy
    topology  control.status         with a pool: the wanted connections, and the control process
    gateway.status                   with a gateway
    control.sock                     where its clients say what they want
    durable.json                     what clients want that have ended, such as a command line
    pool.<owner>.json                what of a pool is in no table
    readers/<name>.<pid>             one page per attached reader
    secrets/<account>                0600, for `env:` references
    quarantine/                      frames that were skipped after killing a decoder
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from pipeline.core.enums import SegmentKind
from pipeline.core.errors import SegmentError

DEFAULT_ROOT: Final = Path("/dev/shm")
INSTANCE_NAME: Final = re.compile(r"[a-z0-9-]{1,32}")

#: The number of the bell that all streams of an instance share; decoders' bells have theirs.
INSTANCE_BELL: Final = 65_535

_FILE_NAMES: Final = {
    SegmentKind.FRAMES: "c{}.frames",
    SegmentKind.ORDERS: "c{}.orders",
    SegmentKind.TEXT: "c{}.text",
    SegmentKind.TICKS: "c{}.ticks",
    SegmentKind.EVENTS: "c{}.events",
    SegmentKind.ASSIGNMENT: "c{}.assignment",
    SegmentKind.WIRE: "c{}.wire",
    SegmentKind.CONFIRMED: "c{}.confirmed",
    SegmentKind.FEED_STATUS: "c{}.status",
    SegmentKind.LATEST: "d{}.latest",
    SegmentKind.BELL: "d{}.bell",
    SegmentKind.DECODER_STATUS: "d{}.status",
    SegmentKind.ACCOUNT: "a{}.account",
    SegmentKind.SUPERVISOR_STATUS: "supervisor.status",
    SegmentKind.SIMULATOR_STATUS: "simulator.status",
    SegmentKind.STRATEGY_STATUS: "s{}.status",
    SegmentKind.INSTANCE: "instance",
    SegmentKind.TOPOLOGY: "topology",
    SegmentKind.CONTROL_STATUS: "control.status",
    SegmentKind.GATEWAY_STATUS: "gateway.status",
}
#: The segments of which each connection has its own.
OF_CONNECTIONS: Final = frozenset(
    kind for kind, name in _FILE_NAMES.items() if name.startswith("c{}")
)


def user_directory(root: Path = DEFAULT_ROOT) -> Path:
    """Return the folder of all instances of this user below `root`."""
    return root / f"pipeline-{os.geteuid()}"


def secure_directory(path: Path) -> Path:
    """Make `path` (0700) unless it is there; return it.

    Raises SegmentError when it is a link, not a directory, not ours, or open to others.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise SegmentError(
            f"cannot make the directory {path}: {error.strerror}; "
            "choose another with [instance] shm_directory"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise SegmentError(f"{path} is not a directory (or a link to one): remove it")
    if found.st_uid != os.geteuid():
        raise SegmentError(
            f"{path} belongs to user {found.st_uid}, not to {os.geteuid()}: "
            "its owner must remove it, or choose another [instance] shm_directory"
        )
    if found.st_mode & 0o077:
        raise SegmentError(
            f"{path} is open to others ({found.st_mode & 0o777:o}): chmod 700 {path}"
        )
    return path


class InstancePaths:
    """The paths of one instance; making the object touches nothing."""

    def __init__(self, name: str, root: Path = DEFAULT_ROOT) -> None:
        if not (isinstance(name, str) and INSTANCE_NAME.fullmatch(name)):
            raise SegmentError(
                f"instance name {name!r}: expected 1 to 32 of the characters a-z, 0-9 and -"
            )
        self.name = name
        self.root = root
        self.directory = user_directory(root) / name
        self.readers = self.directory / "readers"
        self.secrets = self.directory / "secrets"
        self.quarantine = self.directory / "quarantine"

    @property
    def instance_file(self) -> Path:
        """The file that says who supervises this instance, and which segments exist."""
        return self.directory / "instance"

    def segment(self, kind: SegmentKind, number: int = 0) -> Path:
        """Return the path of a segment; `number` is its connection, decoder or account."""
        if kind is SegmentKind.BELL and number == INSTANCE_BELL:
            return self.directory / "instance.bell"
        return self.directory / _FILE_NAMES[kind].format(number)

    @property
    def control_socket(self) -> Path:
        """Where the control process listens for the clients of this host."""
        return self.directory / "control.sock"

    @property
    def durable_demand(self) -> Path:
        """Where the control process keeps what durable clients want."""
        return self.directory / "durable.json"

    def kept_of(self, owner: str | None) -> Path:
        """Return where the control process keeps what of an owner's pool is in no table."""
        return self.directory / ("pool.json" if owner is None else f"pool.{owner}.json")

    def reader(self, name: str, pid: int) -> Path:
        """Return the path of a reader's page."""
        return self.readers / f"{name}.{pid}"

    def make(self) -> None:
        """Make the directories, each 0700 and ours; raise SegmentError otherwise."""
        secure_directory(user_directory(self.root))
        for directory in (self.directory, self.readers, self.secrets, self.quarantine):
            secure_directory(directory)
