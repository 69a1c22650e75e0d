"""The read model of an instance, live or dead: what `stat`, `top` and screens show. Floor 4."""

from __future__ import annotations

from pipeline.services.status.health import problems
from pipeline.services.status.model import InstanceStatus
from pipeline.services.status.snapshot import snapshot

__all__ = ["InstanceStatus", "problems", "snapshot"]
