"""nginx with the example's configuration, on ports and certificates of a test's own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT, wait_until

EXAMPLE = ROOT / "examples" / "nginx" / "gateway.conf"
_AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/gateway.conf;
}}
"""


def nginx() -> str:
    """Return nginx's path; skip where there is none."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("nginx is not installed: it tries the example configuration")
    return found


def configure(folder: Path, changes: dict[str, str]) -> Path:
    """Write the example, with what is changed in it, and what has to be around it."""
    text = EXAMPLE.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "gateway.conf").write_text(text)
    file = folder / "nginx.conf"
    file.write_text(_AROUND.format(folder=folder))
    return file


def check(file: Path) -> str:
    """Have nginx read a configuration; return what it says, and fail when it refuses it."""
    line = [nginx(), "-t", "-p", str(file.parent), "-c", str(file), "-e", "stderr"]
    said = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 0, said.stderr
    return said.stderr


@contextmanager
def serving(file: Path, port: int) -> Iterator[None]:
    """Run nginx until the end of the block."""
    line = [nginx(), "-p", str(file.parent), "-c", str(file), "-e", "stderr"]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _answers(port), timeout_s=30.0, what="nginx to listen")
            yield
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that nobody has right now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
