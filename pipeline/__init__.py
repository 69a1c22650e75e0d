"""Market data from brokers' WebSocket feeds, as numpy arrays, across processes.

The front door: the names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.brokers.registry import decode_frame
    from pipeline.core.layout import tick_dtype
    from pipeline.strategy.items import (
        Gap,
        Idle,
        OrderUpdate,
        Overrun,
        Quarantine,
        StateChange,
        Ticks,
    )
    from pipeline.strategy.kite_dicts import to_kite_dicts
    from pipeline.strategy.market import attach

__all__ = [
    "Gap",
    "Idle",
    "OrderUpdate",
    "Overrun",
    "Quarantine",
    "StateChange",
    "Ticks",
    "attach",
    "decode_frame",
    "tick_dtype",
    "to_kite_dicts",
]

_HOMES = {
    "Gap": "pipeline.strategy.items",
    "Idle": "pipeline.strategy.items",
    "OrderUpdate": "pipeline.strategy.items",
    "Overrun": "pipeline.strategy.items",
    "Quarantine": "pipeline.strategy.items",
    "StateChange": "pipeline.strategy.items",
    "Ticks": "pipeline.strategy.items",
    "attach": "pipeline.strategy.market",
    "decode_frame": "pipeline.brokers.registry",
    "tick_dtype": "pipeline.core.layout",
    "to_kite_dicts": "pipeline.strategy.kite_dicts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
