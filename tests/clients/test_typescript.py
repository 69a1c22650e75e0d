"""`clients/typescript`: its own tests under Node, and what its files may hold."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tests.clients.node import installed, run
from tests.conftest import ROOT

CLIENT = ROOT / "clients" / "typescript"
HOOK_LINES_MAX = 100


@pytest.mark.full
@pytest.mark.timeout(600)
def test_npm_test_passes() -> None:
    manifest = json.loads((CLIENT / "package.json").read_text())
    folder = installed("client", manifest, CLIENT / "package-lock.json")
    for name in ("src", "test", "build"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("src", "test"):
        shutil.copytree(CLIENT / name, folder / name)
    for name in ("tsconfig.json", "tsconfig.build.json"):
        shutil.copy(CLIENT / name, folder)
    said = run(["npm", "test"], folder)
    assert re.search(r"^(# |ℹ )fail 0$", said, re.MULTILINE), said
    passed = re.search(r"^(?:# |ℹ )pass (\d+)$", said, re.MULTILINE)
    assert passed is not None and int(passed[1]) >= 20


def test_the_hook_is_short() -> None:
    assert len((CLIENT / "src" / "react.ts").read_text().splitlines()) <= HOOK_LINES_MAX


def test_nothing_is_needed_at_run_time() -> None:
    manifest = json.loads((CLIENT / "package.json").read_text())
    assert "dependencies" not in manifest
    assert set(manifest["peerDependencies"]) == {"react"}
    assert manifest["peerDependenciesMeta"]["react"]["optional"] is True


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((CLIENT / "package-lock.json").read_text())
    packages = lock["packages"]
    assert len(packages) > 5
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert "://" not in (CLIENT / "package-lock.json").read_text()
    assert all("integrity" in package for name, package in packages.items() if name)
