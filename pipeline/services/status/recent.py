"""What happened between two looks at an instance: rates, and the latencies of that time. Floor 4.

The one source of what moves in `top` and on the screen: both hold a window of looks and show what
happened over it, so that they tell the same figures of the same instance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

import numpy as np

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import LayoutMismatch, SegmentError
from pipeline.services.status.latencies import Counts, between
from pipeline.services.status.model import InstanceStatus, Latency
from pipeline.services.status.pages import attach, text
from pipeline.services.status.rates import NONE, Rates, rates
from pipeline.services.status.readers import read_pages
from pipeline.services.status.snapshot import snapshot
from pipeline.shm.names import InstancePaths

K = TypeVar("K")

#: A look each half second, and rates over four of them: brokers send in bursts of a second.
INTERVAL_S: Final = 0.5
WINDOW: Final = 4


class Look(NamedTuple):
    """An instance at one moment, and its histograms: (n,) counts by decoder, by reader, and the
    gateway's, None without one."""

    status: InstanceStatus
    published: Mapping[int, Counts]
    delivered: Mapping[tuple[str, int], Counts]
    sent: Counts | None = None


class Recent(NamedTuple):
    """What happened over a window of looks.

    `published`: receive to publish, by decoder number. `delivered`: receive to strategy, by reader
    (name, pid). `sent`: receive to a gateway client's socket, and `messages_per_s` that it sends;
    None without a gateway. Without samples in the window a latency is all 0.
    """

    rates: Rates
    published: Mapping[int, Latency]
    delivered: Mapping[tuple[str, int], Latency]
    sent: Latency | None = None
    messages_per_s: float | None = None


#: Before there is a second look.
NOTHING: Final = Recent(NONE, {}, {})


class Looks:
    """The newest looks at one instance."""

    def __init__(self, looks: int = WINDOW + 1) -> None:
        self._looks: deque[Look] = deque(maxlen=looks)

    def add(self, look: Look) -> Recent:
        """Take in a look; return what happened since the oldest one that is kept."""
        if self._looks and self._looks[-1].status.instance_id != look.status.instance_id:
            self._looks.clear()
        self._looks.append(look)
        return recent(self._looks[0], look) if len(self._looks) > 1 else NOTHING


def take_look(paths: InstancePaths) -> Look:
    """Return the present state of an instance; raise as `snapshot` does."""
    delivered = {
        (text(page.record["name"]), int(page.record["head"]["pid"])): _copy(
            page.record["latency"]["counts"]
        )
        for page in read_pages(paths)
    }
    status = snapshot(paths)
    return Look(status, _published(paths, status), delivered, _sent(paths, status))


def recent(before: Look, after: Look) -> Recent:
    """Return what happened between two looks at one instance."""
    return Recent(
        rates=rates(before.status, after.status),
        published=_between(before.published, after.published),
        delivered=_between(before.delivered, after.delivered),
        sent=None
        if before.sent is None or after.sent is None
        else between(before.sent, after.sent),
        messages_per_s=_messages_per_s(before.status, after.status),
    )


def _between(before: Mapping[K, Counts], after: Mapping[K, Counts]) -> dict[K, Latency]:
    return {key: between(before[key], after[key]) for key in after.keys() & before.keys()}


def _published(paths: InstancePaths, status: InstanceStatus) -> dict[int, Counts]:
    found = {}
    for decoder in status.decoders:
        try:
            page = attach(paths, SegmentKind.DECODER_STATUS, decoder.number)
        except (FileNotFoundError, SegmentError, LayoutMismatch):
            continue  # the instance ends at this moment
        found[decoder.number] = _copy(page.record("DecoderStatusC")["receive_to_publish"]["counts"])
    return found


def _sent(paths: InstancePaths, status: InstanceStatus) -> Counts | None:
    if status.gateway is None:
        return None
    try:
        page = attach(paths, SegmentKind.GATEWAY_STATUS, 0)
    except (FileNotFoundError, SegmentError, LayoutMismatch):
        return None  # the instance ends at this moment
    return _copy(page.record("GatewayStatusC")["receive_to_send"]["counts"])


def _messages_per_s(before: InstanceStatus, after: InstanceStatus) -> float | None:
    seconds = (after.taken_mono_ns - before.taken_mono_ns) / NS_PER_S
    if before.gateway is None or after.gateway is None or seconds <= 0:
        return None
    sent = after.gateway.counters["messages_sent"] - before.gateway.counters["messages_sent"]
    return sent / seconds


def _copy(counts: Counts) -> Counts:
    return np.array(counts, copy=True)
