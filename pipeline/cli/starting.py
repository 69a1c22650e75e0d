"""What `run` does once the threads of numerical libraries are off. Floor 6."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pipeline.cli.configuration import load_config
from pipeline.core import logs
from pipeline.core.config import InstanceConfig
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.extras import require_extra
from pipeline.supervisor.roles import ROLES, load_control, load_gateway, load_simulator
from pipeline.supervisor.start import supervise

_log = logs.get_logger(__name__)
LOG_FORMATS = ("text", "json")


def run_instance(
    path: Path | None,
    *,
    preset: str | None = None,
    run_s: float | None,
    exit_on_auth: bool,
    log_level: str | None,
    log_format: str | None,
) -> int:
    """Load the config, set up logging, and supervise until the end; return the exit code.

    Options that are given override the file. Raises ConfigError before anything is started.
    """
    _check_choices(
        ("--log-level", log_level, tuple(logs.LEVELS)), ("--log-format", log_format, LOG_FORMATS)
    )
    warnings: list[str] = []
    config = load_config(path, preset=preset, warnings=warnings, ask_broker=True)
    if config.simulator is not None:
        load_simulator()
    if config.pool is not None:
        load_control()
    if config.gateway is not None:
        load_gateway()
    if config.zeromq is not None:
        require_extra("zmq", needed_by="[zeromq]")
    instance = _overridden(config.instance, exit_on_auth, log_level, log_format)
    config = dataclasses.replace(config, instance=instance)
    logs.set_up(role="supervisor", level=instance.log_level, log_format=instance.log_format)
    for warning in warnings:
        _log.warning("%s", warning)
    return supervise(config, ROLES, run_s=run_s)


def _overridden(
    instance: InstanceConfig, exit_on_auth: bool, log_level: str | None, log_format: str | None
) -> InstanceConfig:
    return dataclasses.replace(
        instance,
        exit_on_auth=instance.exit_on_auth or exit_on_auth,
        log_level=log_level or instance.log_level,
        log_format=log_format or instance.log_format,
    )


def _check_choices(*choices: tuple[str, str | None, tuple[str, ...]]) -> None:
    """Raise ConfigError with every option whose value is not allowed."""
    problems = [
        Problem(option, repr(found), ", ".join(allowed))
        for option, found, allowed in choices
        if found is not None and found not in allowed
    ]
    if problems:
        raise ConfigError("run", problems)
