"""Sockets in the file system: modes, long paths, what is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.local_socket import connect_local, listen_local


@pytest.mark.parametrize("folder", ["short", "long" * 40])
def test_only_its_owner_may_open_it(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "a.sock"
    path.parent.mkdir()
    with listen_local(path) as listener, connect_local(path, timeout_s=5) as one:
        assert path.stat().st_mode & 0o777 == 0o600
        other, _ = listener.accept()
        with other:
            one.sendall(b"x")
            assert other.recv(1) == b"x"


def test_one_that_was_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    listen_local(path).close()
    assert path.exists()
    with listen_local(path), connect_local(path, timeout_s=5):
        pass


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("mine")
    with pytest.raises(PipelineError, match="is no socket"):
        listen_local(path)
    assert path.read_text() == "mine"


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect_local(tmp_path / "none.sock", timeout_s=5)
    listen_local(tmp_path / "left.sock").close()
    with pytest.raises(ConnectionRefusedError):
        connect_local(tmp_path / "left.sock", timeout_s=5)
