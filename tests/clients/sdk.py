"""PyPI's `openalgo` in an environment of its own, driven as a user's script would drive it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.clients.session import Session
from tests.conftest import ROOT

INSTALL_S = 400.0
SESSION = Path(__file__).with_name("sdk_session.py")
#: What pip installs of it, and on which Python: 2.x asks for 3.12.
GENERATIONS = {1: ("openalgo>=1.0.47,<2", ("3.11",)), 2: ("openalgo>=2,<3", ("3.12", "3.13"))}


def sdk_python(generation: int) -> Path:
    """Return a Python that has this generation of the SDK; skip where there can be none.

    Its environment is made below `build` once, and kept.
    """
    requirement, versions = GENERATIONS[generation]
    folder = ROOT / "build" / "sdk" / f"openalgo{generation}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _make(folder, requirement, find_python(versions))
    return folder / "bin" / "python"


def _make(folder: Path, requirement: str, python: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", requirement]
    for line in ([python, "-m", "venv", str(folder)], pip):
        result = subprocess.run(
            line, capture_output=True, text=True, check=False, timeout=INSTALL_S
        )
        if result.returncode != 0:
            pytest.skip(f"PyPI's openalgo cannot be installed: {result.stderr.strip()[-300:]}")
    (folder / "complete").touch()


def find_python(versions: Sequence[str]) -> str:
    """Return the first of the Pythons that this machine has; skip where it has none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in versions:
        found = [*sorted(pyenv.glob(f"{version}.*/bin/python")), shutil.which(f"python{version}")]
        for python in filter(None, found):
            if _runs(python, version):
                return str(python)
    pytest.skip(f"no Python {' or '.join(versions)} here for PyPI's openalgo: install one")


def _runs(python: str | Path, version: str) -> bool:
    line = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    return result.stdout.strip() == version


def session(generation: int, url: str, key: str, host: str = "http://127.0.0.1:1") -> Session:
    """Return a session with the SDK's client; its callbacks tell of "ltp", "quote", ... "order".

    host: of the HTTP half.
    """
    return Session([str(sdk_python(generation)), str(SESSION)], url, key, OPENALGO_HOST=host)
