"""What `doctor` says of a config with a gateway."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest

from pipeline.cli.doctor.finding import Finding, Level
from pipeline.cli.doctor.gateway import check
from pipeline.core.config import parse
from pipeline.services.keys import KeyStore
from tests.services.control.world import LIMITS
from tests.services.gateway.ground import listed

TEXT = '[[account]]\nname = "a"\napi_key = "demo"\nurl = "simulator"\n[simulator]\n[pool]\n'


def findings(folder: Path, port: int = 0, more: str = "connections_max = 10") -> list[Finding]:
    files = f'[instruments]\nfile = "{folder}/list.sqlite"\n[gateway]\nport = {port}\n{more}\n'
    text = f'{TEXT}{files}keys_file = "{folder}/keys.sqlite"\n'
    return list(check(parse(text, limits=LIMITS)))


def test_without_a_gateway_there_is_nothing_to_say() -> None:
    assert list(check(parse(TEXT, limits=LIMITS))) == []


def test_what_is_missing_is_named_with_what_mends_it(tmp_path: Path) -> None:
    found = {f.level: f for f in findings(tmp_path)}
    assert "cannot name any instrument" in found[Level.BAD].text
    assert "gateway key add NAME --account a" in found[Level.WARN].mend
    listed(tmp_path)
    KeyStore(tmp_path / "keys.sqlite").add("alice", "a")
    assert {f.level for f in findings(tmp_path)} == {Level.OK}


def test_a_taken_port_and_too_few_files_are_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        texts = [f.text for f in findings(tmp_path, port, "connections_max = 100000")]
    assert any(f"port {port}: Address already in use" in text for text in texts)


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert any(f.mend.startswith("pip install 'picows") for f in findings(tmp_path))
