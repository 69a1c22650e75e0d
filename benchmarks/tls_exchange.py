"""A simulated exchange in a process of its own that serves wss://, with a certificate made here."""

from __future__ import annotations

import time
from pathlib import Path
from signal import SIGKILL
from typing import IO, Final

from benchmarks.shape import Shape
from pipeline.supervisor.launch import Launched, launch

_READY_S: Final = 30.0


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Return the file of an authority, and the file of a key and certificate for localhost."""
    # Needs cryptography, which kiteconnect brings.
    from tests.feed.authority import Authority

    authority = Authority(folder)
    authority.server_context("localhost")
    return authority.ca_file, folder / "localhost-False.pem"


def start_exchange(
    shape: Shape, instance: Path | None, folder: Path, log: IO[bytes]
) -> tuple[Launched, str, Path]:
    """Start it; return the process, its address and the authority to trust.

    It is gated on the shape's reader in the `instance` directory, unless that is None.
    """
    ca_file, chain = make_certificate(folder)
    line = [
        "-m", "pipeline", "sim", "--mode", "load", "--instruments", str(shape.listed),
        "--packets-per-frame", str(shape.per_frame), "--tls-cert", str(chain),
        "--tls-key", str(chain), "--rate", "max" if shape.rate is None else str(shape.rate),
    ]  # fmt: skip
    if instance is not None and shape.gate:
        line += ["--gate", shape.gate, "--instance-directory", str(instance)]
    said = folder / "exchange"
    with said.open("wb") as output:
        process = launch(line, die_with_parent=SIGKILL, stdout=output, stderr=log)
    deadline_s = time.monotonic() + _READY_S
    while not (words := said.read_text().split()):
        if process.poll() is not None or time.monotonic() > deadline_s:
            process.kill()
            process.wait()
            raise RuntimeError("the exchange over TLS did not start")
        time.sleep(0.02)
    return process, f"wss://localhost:{words[-1].rpartition(':')[2]}", ca_file
