"""Market data from brokers' WebSocket feeds, as numpy arrays, across processes.

The front door: the names below are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.brokers.registry import decode_frame, packet_views
    from pipeline.core.errors import (
        CapacityError,
        ConfigError,
        ControlUnavailable,
        InstanceEnded,
        InstanceError,
        InstanceNotFound,
        LayoutMismatch,
        MissingExtra,
        NotSupportedYet,
        PipelineError,
        RequestRefused,
        SegmentError,
        UnknownInstruments,
    )
    from pipeline.core.errors import Overrun as OverrunError
    from pipeline.core.layout import tick_dtype
    from pipeline.core.version import VERSION as __version__
    from pipeline.instruments.lookup import find
    from pipeline.strategy.conversions import to_arrow, to_pandas, to_polars
    from pipeline.strategy.demand import SubscribeResult
    from pipeline.strategy.items import (
        Gap,
        Idle,
        OrderUpdate,
        Overrun,
        Quarantine,
        RawFrame,
        Restart,
        StateChange,
        TaggedTicks,
        Ticks,
    )
    from pipeline.strategy.kite_dicts import to_kite_dicts
    from pipeline.strategy.market import attach
    from pipeline.strategy.pool_client import PoolClient

__all__ = [
    "CapacityError",
    "ConfigError",
    "ControlUnavailable",
    "Gap",
    "Idle",
    "InstanceEnded",
    "InstanceError",
    "InstanceNotFound",
    "LayoutMismatch",
    "MissingExtra",
    "NotSupportedYet",
    "OrderUpdate",
    "Overrun",
    "OverrunError",
    "PipelineError",
    "PoolClient",
    "Quarantine",
    "RawFrame",
    "RequestRefused",
    "Restart",
    "SegmentError",
    "StateChange",
    "SubscribeResult",
    "TaggedTicks",
    "Ticks",
    "UnknownInstruments",
    "__version__",
    "attach",
    "decode_frame",
    "find",
    "packet_views",
    "tick_dtype",
    "to_arrow",
    "to_kite_dicts",
    "to_pandas",
    "to_polars",
]

_ERRORS = "pipeline.core.errors"
_HOMES = {
    "CapacityError": _ERRORS,
    "ConfigError": _ERRORS,
    "ControlUnavailable": _ERRORS,
    "Gap": "pipeline.strategy.items",
    "Idle": "pipeline.strategy.items",
    "InstanceEnded": _ERRORS,
    "InstanceError": _ERRORS,
    "InstanceNotFound": _ERRORS,
    "LayoutMismatch": _ERRORS,
    "MissingExtra": _ERRORS,
    "NotSupportedYet": _ERRORS,
    "OrderUpdate": "pipeline.strategy.items",
    "Overrun": "pipeline.strategy.items",
    "OverrunError": _ERRORS,
    "PipelineError": _ERRORS,
    "PoolClient": "pipeline.strategy.pool_client",
    "Quarantine": "pipeline.strategy.items",
    "RawFrame": "pipeline.strategy.items",
    "RequestRefused": _ERRORS,
    "Restart": "pipeline.strategy.items",
    "SegmentError": _ERRORS,
    "StateChange": "pipeline.strategy.items",
    "SubscribeResult": "pipeline.strategy.demand",
    "TaggedTicks": "pipeline.strategy.items",
    "Ticks": "pipeline.strategy.items",
    "UnknownInstruments": _ERRORS,
    "__version__": "pipeline.core.version",
    "attach": "pipeline.strategy.market",
    "decode_frame": "pipeline.brokers.registry",
    "find": "pipeline.instruments.lookup",
    "packet_views": "pipeline.brokers.registry",
    "tick_dtype": "pipeline.core.layout",
    "to_arrow": "pipeline.strategy.conversions",
    "to_kite_dicts": "pipeline.strategy.kite_dicts",
    "to_pandas": "pipeline.strategy.conversions",
    "to_polars": "pipeline.strategy.conversions",
}
#: The error of a reader that was lapped; `Overrun` is what a stream yields in its place.
_OTHER_NAMES = {"OverrunError": "Overrun", "__version__": "VERSION"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = import_module(_HOMES[name])
    except ImportError as error:
        from pipeline.core.foreign import explain

        if text := explain(error):
            raise ImportError(text, name=error.name) from None
        raise
    value = getattr(home, _OTHER_NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
