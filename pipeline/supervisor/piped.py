"""`python -m pipeline.supervisor.piped`: a pipeline whose config comes through its stdin. Floor 5.

Started by `launch_instance` alone. stdin holds one JSON object: the config as TOML, and the tokens
of its accounts, which so appear in no argument and no environment. It logs JSON lines to stderr;
what keeps it from starting is the last of them.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from pipeline.brokers.registry import broker_limits
from pipeline.core import logs
from pipeline.core.config import parse
from pipeline.core.errors import PipelineError
from pipeline.core.secrets import Secret
from pipeline.supervisor.roles import ROLES
from pipeline.supervisor.start import supervise

_log = logging.getLogger(__name__)


def run(document: dict[str, Any]) -> int:
    """Supervise the instance of a document until its end; return the exit code."""
    tokens = {name: Secret(value) for name, value in document["tokens"].items()}
    logs.set_up(role="supervisor", log_format="json")
    try:
        # The tokens are not where the config says, yet: only a running instance has a folder.
        config = parse(
            document["config"],
            source=document["source"],
            limits=broker_limits(),
            read_secrets=False,
        )
        logs.set_up(role="supervisor", level=config.instance.log_level, log_format="json")
        return supervise(config, ROLES, tokens=tokens)
    except PipelineError as error:
        _log.critical("%s", error)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(run(json.loads(sys.stdin.buffer.read())))
