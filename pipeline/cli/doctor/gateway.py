"""Checks of the gateway, for a config that has one: package, port, names, keys, files. Floor 6."""

from __future__ import annotations

import importlib.util
import resource
import socket
from collections.abc import Iterator

from pipeline.cli.doctor.finding import Finding, Level
from pipeline.core.config import Config, GatewayConfig
from pipeline.core.errors import BadInstruments, NoInstruments, PipelineError
from pipeline.core.extras import install_command
from pipeline.instruments.store import SYNC_COMMAND, default_file, read_info
from pipeline.services.keys import KeyStore
from pipeline.services.keys import default_file as default_keys

_SUBJECT = "gateway"
#: Files of the gateway's process besides its clients' sockets.
_OTHER_FILES = 256


def check(config: Config) -> Iterator[Finding]:
    """Everything that keeps clients from getting what they ask for; nothing without a gateway."""
    gateway = config.gateway
    if gateway is None:
        return
    if importlib.util.find_spec("picows") is None:
        text = "the package picows is missing, so it cannot start"
        yield Finding(Level.BAD, _SUBJECT, text, install_command("gateway"))
    yield from _port(gateway)
    yield from _names(config)
    yield from _keys(config, gateway)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= allowed < gateway.connections_max + _OTHER_FILES:
        text = f"{allowed} open files are allowed, for {gateway.connections_max} connections"
        yield Finding(Level.WARN, _SUBJECT, text, "raise ulimit -n, or lower connections_max")


def _port(gateway: GatewayConfig) -> Iterator[Finding]:
    family = socket.AF_INET6 if ":" in gateway.host else socket.AF_INET
    where = f"{gateway.host} port {gateway.port}"
    try:
        socket.create_server((gateway.host, gateway.port), family=family).close()
    except OSError as error:
        mend = "none is needed if this instance runs already; else another [gateway] port"
        yield Finding(Level.WARN, _SUBJECT, f"{where}: {error.strerror}", mend)
    else:
        yield Finding(Level.OK, _SUBJECT, f"{where} can be listened on")


def _names(config: Config) -> Iterator[Finding]:
    try:
        info = read_info(config.instruments_file or default_file())
    except (NoInstruments, BadInstruments) as error:
        text = f"clients cannot name any instrument: {error}"
        yield Finding(Level.BAD, _SUBJECT, text, SYNC_COMMAND)
    else:
        yield Finding(Level.OK, _SUBJECT, f"{info.rows:,} names, of {info.day}")


def _keys(config: Config, gateway: GatewayConfig) -> Iterator[Finding]:
    file = default_keys() if gateway.keys_file is None else config.path(gateway.keys_file)
    try:
        count = len(KeyStore(file).list())
    except PipelineError as error:
        yield Finding(Level.BAD, _SUBJECT, str(error), f"ls -l {file}")
        return
    if count:
        yield Finding(Level.OK, _SUBJECT, f"{count} API keys")
        return
    account = config.accounts[0].name
    mend = f"python -m pipeline gateway key add NAME --account {account}"
    yield Finding(Level.WARN, _SUBJECT, f"no API key in {file}: nobody can connect", mend)
