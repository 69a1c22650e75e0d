"""WebSocket frames off the socket: ours into the frame ring, the peers into nothing.

    [server process] -> loopback -> read, check, split -> [frame ring]        plain and TLS

A regression here is CPU of every feed process, and the first thing that a tick waits for.

CPU time of the reading process. The server sends without a pause, so that every read finds much:
on loopback a part of the kernel's work is done in the sender's name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.figures import CPU_TIME, Meter
from benchmarks.websocket_clients import (
    Client,
    PicowsClient,
    PipelineClient,
    WebSocketClientClient,
    WebsocketsClient,
)
from pipeline.supervisor.launch import Stream, launch, wait_or_kill

pytestmark = CPU_TIME
PIPE: Stream = -1  # subprocess.PIPE
CASES: dict[str, tuple[Callable[[str, Path | None, Path], Client], str | None]] = {
    "pipeline": (PipelineClient, None),
    "picows (peer)": (PicowsClient, "picows"),
    "websocket-client (peer)": (WebSocketClientClient, "websocket"),
    "websockets (peer)": (WebsocketsClient, "websockets"),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    base = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=base if base.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The file of an authority, and that of a server's certificate and key."""
    pytest.importorskip("cryptography")
    from tests.feed.authority import Authority

    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.server_context("localhost")
    return authority.ca_file, authority.folder / "localhost-False.pem"


def _frames(tiny: bool, case: str, size: int) -> int:
    if tiny:
        return 200
    fast = 100_000 if case == "pipeline" else 20_000 if "picows" in case else 1_000
    return fast * (4 if size < 1000 else 1)


def _measure(
    meter: Meter, folder: Path, case: str, size: int, frames: int, files: tuple[Path, Path] | None
) -> None:
    kind, module = CASES[case]
    if module:
        pytest.importorskip(module)
    line = ["-m", "benchmarks.frame_server", str(size)] + ([str(files[1])] if files else [])
    server = launch(line, stdout=PIPE)
    client: Client | None = None
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        url = f"{'wss' if files else 'ws'}://localhost:{port}"
        client = opened = kind(url, files[0] if files else None, folder)
        meter.rounds = min(meter.rounds, 9)
        meter.measure(
            lambda: opened.read(frames), units=frames, case=case, is_peer=module is not None,
            group=f"WebSocket read, {size} B{', TLS' if files else ''}", unit="ns/frame",
        )  # fmt: skip
    finally:
        if client is not None:
            client.close()
        server.terminate()
        wait_or_kill(server, 10)
        if server.stdout is not None:
            server.stdout.close()


@pytest.mark.parametrize("size", [200, 2048])
@pytest.mark.parametrize("case", CASES)
def test_plain(meter: Meter, folder: Path, tiny: bool, case: str, size: int) -> None:
    _measure(meter, folder, case, size, _frames(tiny, case, size), None)


@pytest.mark.parametrize("size", [200, 2048])
@pytest.mark.parametrize("case", CASES)
def test_tls(
    meter: Meter, folder: Path, tiny: bool, case: str, size: int, certificate: tuple[Path, Path]
) -> None:
    _measure(meter, folder, case, size, _frames(tiny, case, size), certificate)
