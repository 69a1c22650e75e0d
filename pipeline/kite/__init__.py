"""`from pipeline.kite import KiteTicker`: the drop-in for kiteconnect's ticker. A front door.

The names below are imported when they are first used; nothing of kiteconnect is, unless
`KiteConnect` (its REST client, handed on as it is) is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.kite.ticker import KiteTicker

__all__ = ["KiteTicker"]


def __getattr__(name: str) -> Any:
    if name == "KiteTicker":
        value = _kite_ticker()
    elif name == "KiteConnect":
        value = _kite_connect()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _kite_ticker() -> Any:
    try:
        return import_module("pipeline.kite.ticker").KiteTicker
    except ImportError as error:
        from pipeline.core.foreign import explain

        if text := explain(error):
            raise ImportError(text, name=error.name) from None
        raise


def _kite_connect() -> Any:
    try:
        from kiteconnect import KiteConnect
    except ImportError as error:
        raise ImportError(
            "KiteConnect, the REST client, is kiteconnect's own and that is not installed: "
            "pip install kiteconnect"
        ) from error
    return KiteConnect


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "KiteConnect"})
