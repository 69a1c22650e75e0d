"""A command's connection to the control process of an instance. Floor 6."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer

from pipeline.cli.choose import choose
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import (
    CapacityError,
    ControlUnavailable,
    InstanceError,
    PipelineError,
    RequestRefused,
    UnknownInstruments,
)
from pipeline.core.exit_codes import ExitCode
from pipeline.shm.instance import open_instance
from pipeline.shm.names import InstancePaths
from pipeline.strategy.control_client import ControlClient

#: What is subscribed to by hand is this client's, and stays when the command has ended.
DURABLE_CLIENT: Final = "cli"

#: How long to wait for a control process that is starting, and for another command's end.
START_S: Final = 3.0
_TURN_S: Final = 10.0
_AGAIN_S: Final = 0.05


class NoPool(InstanceError):
    """The instance has no pool."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str) -> None:
        super().__init__(
            f"instance {name!r} has no [pool]: [[subscription]] in its config says what it streams"
        )


class NotTaken(PipelineError):
    """There is no room for what was asked for: refused, and nothing wrong with any config."""


@contextmanager
def control_of(
    instance: str | None, root: Path, *, durable: bool = False, owner: str | None = None,
    as_json: bool = False,
) -> Iterator[ControlClient]:  # fmt: skip
    """Yield a connection to an instance's control process.

    durable: as the client "cli", whose wishes stay; one command at a time, the next one waits.
    owner: on whose connections, and about whom; without one about all.
    as_json: print what is refused meanwhile as `{"problem": ...}`, and leave.

    Raises InstanceNotFound, NoPool, or ControlUnavailable when nobody answers.
    """
    paths = choose(instance, root)
    view = open_instance(paths.name, paths.root)
    manifest = view.read().manifest
    has_control = any(entry.kind is SegmentKind.CONTROL_STATUS for entry in manifest)
    if not has_control and not paths.control_socket.exists():
        raise NoPool(paths.name)
    try:
        with _connect(paths, durable=durable, owner=owner) as client:
            yield client
    except (CapacityError, RequestRefused, UnknownInstruments) as error:
        code = ExitCode.FAILED if isinstance(error, CapacityError) else error.exit_code
        if as_json:
            print(json.dumps({"problem": _problem(error)}))
            raise typer.Exit(code) from None
        if code is error.exit_code:
            raise
        raise NotTaken(str(error)) from None


def _problem(error: CapacityError | RequestRefused | UnknownInstruments) -> dict[str, Any]:
    """Return what was refused, as the HTTP API tells it."""
    text = str(error)
    match error:
        case CapacityError():
            numbers = ("requested", "accepted", "available")
            counts = {name: getattr(error, name) for name in numbers}
            return {"code": "capacity", "text": text, **counts}
        case UnknownInstruments():
            return {"code": "unknown_instrument", "text": text, "unknown": dict(error.unknown)}
        case _:
            return {"code": error.code, "text": text, **error.detail}


def _connect(paths: InstancePaths, *, durable: bool, owner: str | None) -> ControlClient:
    name = DURABLE_CLIENT if durable else f"{DURABLE_CLIENT}.{os.getpid()}"
    began = time.monotonic()
    while True:
        try:
            return _say_hello(
                ControlClient(paths.control_socket, client=name, durable=durable, owner=owner)
            )
        except ControlUnavailable:
            if time.monotonic() - began >= START_S:
                raise
        except RequestRefused as refusal:
            if refusal.code != "conflict" or time.monotonic() - began >= _TURN_S:
                raise
        time.sleep(_AGAIN_S)


def _say_hello(client: ControlClient) -> ControlClient:
    try:
        client.hello()
    except BaseException:
        client.close()
        raise
    return client
