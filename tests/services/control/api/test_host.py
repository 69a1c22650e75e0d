"""Without the packages of the extra the pool runs, and says what is missing."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import PortTaken
from pipeline.core.extras import install_command
from pipeline.services.control.process import Control
from pipeline.supervisor import establish
from tests.services.control.api.served import SECTION
from tests.services.control.test_outside import Ground
from tests.services.control.world import pool_config


@pytest.fixture
def supervising() -> Iterator[None]:
    """This process supervises the instance, and has no handler for its signal."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_without_its_packages_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(establish, "find_spec", lambda name: None)
    assert establish.listen_api(pool_config(more=SECTION)) is None


def test_and_one_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, supervising: None
) -> None:
    ground = Ground(tmp_path, more=SECTION)
    with caplog.at_level(logging.WARNING):
        control = Control(ground.config, ground.paths, None)
    assert control.host is None
    found = [record.message for record in caplog.records if "[api]" in record.message]
    assert len(found) == 1 and install_command("api") in found[0]


def test_nobody_listens_unless_the_config_says_so() -> None:
    assert establish.listen_api(pool_config()) is None


def test_answers_do_not_wait_for_acknowledgements() -> None:
    listener = establish.listen_api(pool_config(more=SECTION))
    assert listener is not None
    with listener, socket.create_connection(listener.getsockname(), timeout=30):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_port_that_is_taken_is_told_with_the_way_out() -> None:
    first = establish.listen_api(pool_config(more=SECTION))
    assert first is not None
    with first:
        port = first.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port}.*0 takes one that is free"):
            establish.listen_api(pool_config(more=f"[api]\nport = {port}\n"))
