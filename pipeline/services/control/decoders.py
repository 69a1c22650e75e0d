"""What the decoders' pages say: whether each lives, and how soon it publishes. Floor 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.core.clock import NS_PER_US
from pipeline.core.enums import SegmentKind
from pipeline.services.control.readings import HUNG_NS
from pipeline.shm.identity import is_alive
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderReading:
    """One decoder at one moment; the times are from receive to publish, since its start, in ns."""

    number: int
    pid: int
    alive: bool
    hung: bool
    commits: int
    publish_p50_ns: int
    publish_p99_ns: int
    publish_max_ns: int

    def document(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return {
            "decoder": self.number,
            "pid": self.pid,
            "alive": self.alive,
            "hung": self.hung,
            "commits": self.commits,
            "receive_to_publish_us": {
                "p50": self.publish_p50_ns / NS_PER_US,
                "p99": self.publish_p99_ns / NS_PER_US,
                "max": self.publish_max_ns / NS_PER_US,
            },
        }


class Decoders:
    """The decoders of an instance: as many as it began with."""

    def __init__(self, paths: InstancePaths, count: int) -> None:
        kind = SegmentKind.DECODER_STATUS
        self._pages = [
            StatusPage(Segment.attach(paths.segment(kind, number), kind)) for number in range(count)
        ]

    def take(self, now_ns: int) -> list[DecoderReading]:
        """Return what each page says now."""
        return [_reading(number, page, now_ns) for number, page in enumerate(self._pages)]


def _reading(number: int, page: StatusPage, now_ns: int) -> DecoderReading:
    head, times = page.head, page.histogram("receive_to_publish")
    pid = int(head["pid"])
    alive = is_alive(pid, int(head["start_time"]))
    last_ns = max(int(head["heartbeat_mono_ns"]), int(head["busy_until_mono_ns"]))
    return DecoderReading(
        number=number,
        pid=pid,
        alive=alive,
        hung=alive and now_ns - last_ns > HUNG_NS,
        commits=int(page.record["commits"]),
        publish_p50_ns=times.quantile(0.5),
        publish_p99_ns=times.quantile(0.99),
        publish_max_ns=int(page.record["receive_to_publish"]["max"]),
    )
