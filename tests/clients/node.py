"""Node and packages of npm, for tests of what runs there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT

NODE_MAJOR_MIN = 20
INSTALL_S = 300.0
RUN_S = 240.0
#: Where a WebSocket is no global yet, Node has it behind a switch.
_SWITCH_BELOW = 22


def node() -> str:
    """Return Node's path; skip where there is none, or an old one."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed: Node 20 or later runs these tests")
    if major(found) < NODE_MAJOR_MIN:
        pytest.skip(f"node and npm are not installed in version {NODE_MAJOR_MIN} or later")
    return found


def major(executable: str) -> int:
    """Return Node's major version."""
    said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True)
    return int(said.stdout.strip().lstrip("v").partition(".")[0])


def websocket_switch(executable: str) -> list[str]:
    """Return what Node needs to be told to have `WebSocket`."""
    return ["--experimental-websocket"] if major(executable) < _SWITCH_BELOW else []


def installed(name: str, manifest: Mapping[str, object], lock: Path | None = None) -> Path:
    """Return a folder below `build` with the packages of a manifest; skip where npm fails.

    It is made once for each manifest and lock file, and kept.
    """
    node()
    text = json.dumps(manifest, indent=1)
    locked = b"" if lock is None else lock.read_bytes()
    print_ = hashlib.sha256(text.encode() + locked).hexdigest()[:12]
    folder = ROOT / "build" / "node" / f"{name}-{print_}"
    with _alone(ROOT / "build" / "node" / f"{name}.lock"):
        if not (folder / "complete").exists():
            _install(folder, text, lock)
    return folder


def _install(folder: Path, manifest: str, lock: Path | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(manifest)
    if lock is not None:
        shutil.copy(lock, folder / "package-lock.json")
    line = ["npm", "ci" if lock else "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    result = subprocess.run(
        line, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_S
    )
    if result.returncode != 0:
        pytest.skip(f"packages of npm cannot be installed: {result.stderr.strip()[-300:]}")
    (folder / "complete").touch()


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(line: list[str], folder: Path, **environment: str) -> str:
    """Run a program to its end and return what it printed; fail, showing it, when it failed."""
    result = subprocess.run(
        line, cwd=folder, capture_output=True, text=True, check=False, timeout=RUN_S,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout
