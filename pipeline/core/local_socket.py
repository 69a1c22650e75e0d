"""Sockets in the file system, which only their owner may open. Floor 1."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipeline.core.errors import PipelineError

#: Paths may be longer than the 108 bytes that an address has.
_ADDRESS_BYTES_MAX: Final = 100


def listen_local(path: Path, *, backlog: int = 8) -> socket.socket:
    """Return a listening, non-blocking socket at `path`, mode 0600.

    A socket that is there already is replaced. Raises PipelineError if anything else is in the
    way.
    """
    if path.exists() and not path.is_socket():
        raise PipelineError(f"{path} exists and is no socket: choose another path")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        with _address(path) as address:
            listener.bind(address)
    except OSError as error:
        listener.close()
        raise PipelineError(f"socket {path}: {error.strerror}") from error
    finally:
        os.umask(before)
    listener.listen(backlog)
    return listener


def connect_local(path: Path, *, timeout_s: float) -> socket.socket:
    """Return a connected socket; raise OSError, FileNotFoundError among them, if nobody listens."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout_s)
    try:
        with _address(path) as address:
            sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Yield an address for a socket's path, which may be longer than addresses can be."""
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
