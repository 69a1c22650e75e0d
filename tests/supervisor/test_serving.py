"""The sockets that services listen on: bound before the first fork, and told to every child."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pipeline.core.config import Config, parse
from pipeline.core.enums import Role
from pipeline.core.errors import PortTaken
from pipeline.shm.names import InstancePaths
from pipeline.supervisor import establish
from tests.services.control.world import LIMITS

TEXT = '[[account]]\nname = "a"\napi_key = "demo"\nurl = "simulator"\n[simulator]\n[pool]\n'


def config_of(more: str) -> Config:
    return parse(TEXT + more, limits=LIMITS)


def test_who_serves_on_a_free_port_is_told_which(tmp_path: Path) -> None:
    config = config_of("[api]\nport = 0\n[gateway]\nport = 0\n")
    served = establish.listen_services(config)
    try:
        found = establish.resolve(config, InstancePaths("t", tmp_path), None, served)
        assert found.api is not None and found.gateway is not None
        assert found.api.port == served[Role.CONTROL].getsockname()[1] != 0
        assert found.gateway.port == served[Role.GATEWAY].getsockname()[1] != 0
    finally:
        for listener in served.values():
            listener.close()


def test_nobody_listens_unasked() -> None:
    assert establish.listen_services(config_of("")) == {}


def test_a_port_that_is_taken_is_told_by_its_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"\[gateway\] 127.0.0.1 port {port}"):
            establish.listen_services(config_of(f"[gateway]\nport = {port}\n"))
