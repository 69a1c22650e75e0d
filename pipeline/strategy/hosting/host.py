"""The life of a hosted strategy: import, start, be called back, stop. Floor 3.

Each phase is written into the strategy's page before it begins, so that `stat` and the supervisor
see from outside what takes long. Nothing that user code raises is caught here: it ends this
process, and the supervisor starts the next one.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from ext.streams import ReaderPolicy
from pipeline.core.clock import NS_PER_MS, NS_PER_S, monotonic_ns
from pipeline.core.enums import HostPhase, Reason, Role, SegmentKind, State
from pipeline.core.errors import Overrun as OverrunError
from pipeline.shm.instance import open_instance
from pipeline.shm.names import InstancePaths
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.strategy.attachment import Attachment, ReaderOptions, open_ready
from pipeline.strategy.hosting.delivery import Delivery, read_positions
from pipeline.strategy.hosting.entry import callbacks, check_params, load_class
from pipeline.strategy.hosting.task import Hosting
from pipeline.strategy.items import Item, Overrun, Ticks
from pipeline.strategy.market import Market

#: After SIGTERM: how long what is left is still handed out, before on_stop.
LAST_ITEMS_NS: Final = NS_PER_S
_WAIT_NS: Final = 100 * NS_PER_MS
_BUFFER_TICKS: Final = 4096
_SPIN_US: Final = 0
_POLICIES: Final = {
    "resume": ReaderPolicy.READER_RESUME,
    "skip": ReaderPolicy.READER_SKIP,
    "raise": ReaderPolicy.READER_RAISE,
}

_log = logging.getLogger(__name__)


def open_page(hosting: Hosting) -> StatusPage:
    """Return the strategy's page, taken over for this process."""
    paths = InstancePaths(hosting.instance, Path(hosting.shm_directory))
    path = paths.segment(SegmentKind.STRATEGY_STATUS, hosting.number)
    page = StatusPage(Segment.attach(path, SegmentKind.STRATEGY_STATUS, writable=True))
    page.begin(Role.STRATEGY, hosting.number)
    page.record["report_after_ns"] = round(hosting.report_after_s * NS_PER_S)
    return page


class Host:
    """Runs one strategy in this process, the main thread of which it takes."""

    def __init__(self, hosting: Hosting, page: StatusPage) -> None:
        self._hosting = hosting
        self._page = page
        self._pid = os.getpid()
        self._stop_at_ns: int | None = None
        self._callbacks: dict[str, Callable[..., object]] = {}
        self._strategy: object = None
        self._dropped_before = int(page.record["dropped"])

    @property
    def phase(self) -> HostPhase:
        """What is being done."""
        return HostPhase(int(self._page.record["phase"]))

    def run(self) -> None:
        """Live until SIGTERM. Raises EntryError for a class that cannot be used, and whatever
        the class raises."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        self._enter(HostPhase.IMPORT)
        cls = load_class(self._hosting.entry, self._hosting.search_path)
        check_params(cls, self._hosting.params)
        self._enter(HostPhase.INIT)
        strategy = cls(**self._hosting.params)
        self._callbacks = callbacks(strategy)
        self._strategy = strategy
        with self._attach() as market:
            delivery = Delivery(market, self._page)
            self._page.set_state(State.LIVE, Reason.STARTED)
            self._call(HostPhase.ON_START, market)
            restart = self._hosting.restart
            if restart is not None:
                _log.info(
                    f"goes on after restart {restart.restarts}, {delivery.lag()} ticks behind"
                )
                self._call(HostPhase.ON_EVENT, restart)
            self._deliver(delivery, market)
            self._call(HostPhase.ON_STOP)
            self._page.set_state(State.CLOSED, Reason.SHUTDOWN)

    def _attach(self) -> Market:
        """Go on where the process before this one was, or begin with the oldest tick there is."""
        hosting = self._hosting
        options = ReaderOptions(
            name=hosting.label,
            policy=_POLICIES[hosting.slow],
            from_oldest=True,
            buffer_ticks=_BUFFER_TICKS,
            spin_us=_SPIN_US,
            nap_us=hosting.nap_us,
            follow=False,
            instruments_file=hosting.instruments_file,
            owner=hosting.owner,
            positions=read_positions(self._page),
        )
        view = open_instance(hosting.instance, Path(hosting.shm_directory))
        return Market(Attachment(open_ready(view), options), options)

    # ---- calling back -----------------------------------------------------------------------

    def _deliver(self, delivery: Delivery, market: Market) -> None:
        """Hand out until SIGTERM, and what is left then; or until the class stops its market."""
        self._enter(HostPhase.WAITING)
        while not market.stopped:
            item = delivery.take()
            if item is not None:
                self._hand_out(item)
            if self._is_over(nothing_left=item is None):
                break
            if item is None:
                self._page.beat(monotonic_ns())
                if (ticks := delivery.wait(_WAIT_NS)) is not None:
                    self._hand_out(ticks)
        left = 0 if market.stopped else delivery.lag()
        if left:
            _log.warning(f"stopped with {left} ticks that were not handed out")

    def _is_over(self, *, nothing_left: bool) -> bool:
        if self._stop_at_ns is None:
            return False
        return nothing_left or monotonic_ns() > self._stop_at_ns + LAST_ITEMS_NS

    def _hand_out(self, item: Item) -> None:
        if isinstance(item, Ticks):
            self._call(HostPhase.ON_TICKS, item.ticks)
            return
        self._call(HostPhase.ON_EVENT, item)
        if isinstance(item, Overrun) and item.stage == "reader" and self._hosting.slow == "raise":
            raise OverrunError(connection=item.connection, lost=item.lost)

    def _call(self, phase: HostPhase, *arguments: Any) -> None:
        method = self._callbacks.get(phase.label)
        if method is None:
            return
        self._enter(phase)
        method(*arguments)
        self._page.record["calls"] += 1
        self._note_dropped()
        self._enter(HostPhase.WAITING)

    def _note_dropped(self) -> None:
        """Show what a class that hands ticks on could not hand on, over all of its processes."""
        dropped = getattr(self._strategy, "dropped", None)
        if isinstance(dropped, int):
            self._page.record["dropped"] = self._dropped_before + dropped

    def _enter(self, phase: HostPhase) -> None:
        now = monotonic_ns()
        self._page.record["phase_since_mono_ns"] = now
        self._page.record["phase"] = phase
        self._page.head["heartbeat_mono_ns"] = now

    # ---- the end ------------------------------------------------------------------------------

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a child that user code forked: it is not ours to keep
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        if self._stop_at_ns is None:
            self._stop_at_ns = monotonic_ns()
        if self.phase in (HostPhase.NONE, HostPhase.IMPORT, HostPhase.INIT):
            raise SystemExit(0)  # nothing was started that could be stopped
