"""`demo gateway` as a user starts it, with the real SDK."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.sdk import sdk_python
from tests.conftest import wait_until
from tests.system.test_demo import DEMO, environment, leftovers

WIDTH = 80


def packages_beside_ours(folder: Path) -> Path:
    """Return a folder with the SDK and what it needs, but for what this Python has itself."""
    python = sdk_python(1 if sys.version_info < (3, 12) else 2)
    [packages] = python.parents[1].glob("lib/python3.*/site-packages")
    folder.mkdir()
    for path in packages.iterdir():
        name = path.name.removesuffix(".py")
        if name.isidentifier() and importlib.util.find_spec(name) is None:
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_client_prints_what_it_got(tmp_path: Path) -> None:
    here = packages_beside_ours(tmp_path / "packages")
    folder = tmp_path / "run"
    folder.mkdir()
    found = environment(folder)
    found["PYTHONPATH"] = os.pathsep.join(filter(None, [found.get("PYTHONPATH"), str(here)]))
    with subprocess.Popen(
        [*DEMO, "gateway", "--seconds", "3"], env=found, cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        text, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, ""), text
    for kind, name in (
        ("LTP", "NSE_INDEX:NIFTY"),
        ("Quote", "NSE:RELIANCE"),
        ("Depth", "NSE:INFY"),
    ):
        assert re.search(rf"^{kind} +{name} +[\d,]+\.\d\d", text, re.MULTILINE), text
        assert re.search(rf"^{kind} +{name} +[1-9][\d,]* messages", text, re.MULTILINE), text
    assert max(map(len, text.splitlines())) <= WIDTH
    wait_until(lambda: not leftovers(process.pid), timeout_s=10.0, what="nothing left")
    assert list(folder.iterdir()) == []
