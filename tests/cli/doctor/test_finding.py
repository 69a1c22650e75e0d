"""How remedies are spelled."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.cli.doctor.finding import Machine, as_root, install, mebibytes


@pytest.mark.parametrize(("uid", "command"), [(0, "mount x"), (1000, "sudo mount x")])
def test_as_root(monkeypatch: pytest.MonkeyPatch, uid: int, command: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert as_root("mount x") == command


def test_install_names_one_package_manager() -> None:
    assert ("apt-get" in install("a", "b")) != ("dnf" in install("a", "b"))


def test_unreadable_files_are_none(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert Machine(tmp_path).read("binary") is None
    assert Machine(tmp_path).read("none") is None


def test_mebibytes() -> None:
    assert mebibytes(3 * 2**19) == "1.5 MiB"
