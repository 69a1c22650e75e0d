"""The brokers that we speak to, a line each. Floor 2."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from pipeline.brokers.contract import Broker
from pipeline.core.capacity import BrokerLimits

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: {name: package with a BROKER}; imported when first asked for.
BROKERS: Final[dict[str, str]] = {
    "kite": "pipeline.brokers.kite",
}


def load_broker(name: str) -> Broker:
    """Return a broker by name; raise ValueError that lists the known ones."""
    if name not in BROKERS:
        raise ValueError(f"broker {name!r} is unknown; known: {', '.join(sorted(BROKERS))}")
    broker: Broker = import_module(BROKERS[name]).BROKER
    return broker


def broker_limits() -> dict[str, BrokerLimits]:
    """Return the limits of every broker by name, as a config is checked against them."""
    limits = {name: load_broker(name).limits for name in BROKERS}
    return {
        name: BrokerLimits(found.instruments_per_connection, found.connections_per_key)
        for name, found in limits.items()
    }


def decode_frame(broker: str, frame: Buffer, **stamps: int) -> NDArray[Any]:
    """Decode one frame of a broker, as received, into a new (n,) `tick_dtype` array.

    frame: any contiguous bytes-like object. Every complete packet of a known size becomes a
    record, in order; a heartbeat gives none, and what follows a fault is left out. stamps:
    `receive_ts_ns` and the others that the broker's decoder takes. Needs no running instance.
    """
    return load_broker(broker).decode_frame(frame, **stamps)


def packet_views(broker: str, frame: Buffer) -> Iterator[NDArray[Any]]:
    """Yield read-only arrays over a frame's packets, as they lie there: one for each run of a size.

    frame: as received, such as `RawFrame.payload`; nothing of it is copied. Fields are the wire's:
    whole numbers, prices undivided. What is incomplete or of an unknown size is left out.
    """
    return load_broker(broker).packet_views(frame)
