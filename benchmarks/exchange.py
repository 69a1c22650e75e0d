"""A simulated exchange in a process of its own, where the instance's own does not do.

That one serves neither TLS nor more than the three API keys that everybody may use.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from benchmarks.shape import Shape
from pipeline.shm.names import InstancePaths

#: What `make_certificate` needs; kiteconnect brings it.
CERTIFICATES_NEED: Final = "cryptography"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Return the file of an authority, and the file of a key and certificate for localhost."""
    from tests.feed.authority import Authority

    authority = Authority(folder)
    authority.server_context("localhost")
    return authority.ca_file, folder / "localhost-False.pem"


def exchange_line(
    shape: Shape, *, chain: Path | None = None, gated_in: InstancePaths | None = None
) -> list[str]:
    """Return the arguments of an exchange for this shape, which prints its port.

    `chain` makes it serve TLS; with `gated_in` it waits for the shape's reader in that instance.
    """
    options: dict[str, Any] = {
        "instruments": shape.listed, "rate": shape.rate, "packets_per_frame": shape.per_frame,
        "keys": shape.keys,
    }  # fmt: skip
    if chain is not None:
        options |= {"tls_cert": str(chain), "tls_key": str(chain)}
    if gated_in is not None and shape.gate:
        options |= {"gate": shape.gate, "instance_directory": str(gated_in.directory)}
    return ["-m", "benchmarks.peers.exchange", json.dumps(options)]


def address(port: int | str, *, tls: bool) -> str:
    """Return the URL of an exchange on this host."""
    return f"{'wss' if tls else 'ws'}://localhost:{port}"
