"""What Kite allows: the numbers of `limits.toml`, read once. Floor 2; data only."""

from __future__ import annotations

from typing import Final

from pipeline.brokers.contract import Limits
from pipeline.brokers.limits_file import shipped_limits
from pipeline.core.rates import RestLimits

_FOUND: Final = shipped_limits("pipeline.brokers.kite")

LIMITS: Final[Limits] = _FOUND[0]
REST_LIMITS: Final[RestLimits] = _FOUND[1]
