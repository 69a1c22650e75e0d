"""One life of a KiteTicker, from connect() to its end: reads, calls back, ends. Floor 7.

All of a user's callbacks run in the thread that runs this: the caller's, or one of its own.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pipeline.core.clock import NS_PER_MS
from pipeline.core.enums import Mode, State
from pipeline.core.errors import InstanceEnded
from pipeline.kite.callbacks import Guard, call
from pipeline.kite.inbox import Delivery, Frame, Inbox, LostMessages, Message
from pipeline.kite.instance import OwnInstance
from pipeline.kite.offer import Offer
from pipeline.kite.response import Connection, ConnectionResponse
from pipeline.kite.story import DROPPED_TEXT, UNCLEAN, Call, Ending, Story
from pipeline.strategy.items import Overrun, Quarantine, StateChange
from pipeline.strategy.market import Market

if TYPE_CHECKING:
    from pipeline.kite.ticker import KiteTicker

_WAIT_NS: Final = 50 * NS_PER_MS
_STAY_S: Final = 0.05
_ANY: Final = -1
_OPEN_STATES: Final = frozenset({State.SUBSCRIBING, State.LIVE, State.QUIET})
_STOPPED: Final = Ending(UNCLEAN, DROPPED_TEXT)
_INSTANCE_GONE: Final = Ending(UNCLEAN, "connection was closed uncleanly (its pipeline has ended)")

_log = logging.getLogger("pipeline.kite")


class Session:
    """Everything that a connected KiteTicker holds; `run` it once.

    own: the instance to end with it, None when the instance is somebody else's.
    """

    def __init__(
        self, ticker: KiteTicker, market: Market, own: OwnInstance | None, tries_max: int
    ) -> None:
        self.market = market
        self.inbox = Inbox(market, from_start=own is not None)
        self.story = Story(
            (info.number for info in market.connections()),
            tries_max=tries_max,
            delay_max_s=ticker.reconnect_max_delay,
        )
        self.ended = threading.Event()
        #: What is wanted of an instance that is not ours; compared when it is another mapping.
        self.wanted: Mapping[int, Mode] = {}
        self._ticker = ticker
        self._own = own
        self._offer = Offer(market)
        self._compared: Mapping[int, Mode] = self.wanted
        self._guard = Guard()
        self._stopped = False  # no Event: a signal handler may find its lock held
        self._connection: Connection | None = None  # our own: a later session has another
        self._closing: Ending | None = None
        self._finished = False
        self._thread: threading.Thread | None = None

    @property
    def is_ending(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._stopped or self._closing is not None or self.story.over

    @property
    def is_own_thread(self) -> bool:
        """Whether a callback of this session asks."""
        return self._thread is threading.current_thread() and not self.ended.is_set()

    def stop(self) -> None:
        """Ask for the end, now; from any thread or signal handler."""
        self._stopped = True
        self.market.stop()

    def close(self, code: int | None, reason: str | None) -> None:
        """Ask for an orderly end of the connection; from any thread."""
        self._closing = Ending(code, reason, clean=True)

    def stop_retry(self) -> None:
        """Ask for no further attempt once the connection is lost; from any thread."""
        self.story.retrying = False

    def abandon(self) -> None:
        """End what nothing will run."""
        self.stop()
        self._finish()
        self.ended.set()

    def run(self, *, stay: bool) -> None:
        """Call back until the end; with `stay`, return only after `stop` or Ctrl-C."""
        self._thread = threading.current_thread()
        try:
            self._pump()
            self._finish()
            self.ended.set()  # a connect() in another thread may begin anew already
            while stay and not self._stopped:
                time.sleep(_STAY_S)
        except KeyboardInterrupt:
            _log.info("interrupted: ending")
        finally:
            self._finish()
            self.ended.set()

    # ---- reading -------------------------------------------------------------------------------

    def _pump(self) -> None:
        if self.is_ending:
            return  # asked for while it was being started
        raw = self._ticker.on_message is not None
        self.inbox.want_raw(raw, from_start=self._own is not None)
        if self._own is None:
            self._join()
        try:
            while not (self._stopped or self._closing or self.story.over):
                self.inbox.want_raw(self._ticker.on_message is not None)
                self._compare()
                if not self._take() and not self.inbox.holds:
                    self.market.wait(_WAIT_NS, _ANY)
        except InstanceEnded:
            self._closing = self._closing or _INSTANCE_GONE

    def _take(self) -> bool:
        found = False
        for delivery in self.inbox.take():
            found = True
            self._deliver(delivery)
            if self._stopped:
                break
        return found

    def _join(self) -> None:
        """Tell of what is open already in an instance that ran before us."""
        for connection in self.market.connections():
            if connection.state in _OPEN_STATES:
                for told in self.story.join(connection.number):
                    self._tell(told)
        if self.market.has_pool:
            for told in self.story.join_pool():
                self._tell(told)

    def _compare(self) -> None:
        """Tell what the instance does not do as it is wanted; only a config can change that."""
        wanted = self.wanted
        if wanted is self._compared:
            return
        self._compared = wanted
        for complaint in self._offer.complaints(wanted):
            _log.log(logging.ERROR if complaint.is_error else logging.WARNING, "%s", complaint.text)
            if complaint.is_error:
                call(self._guard, self._ticker, "on_error", 0, complaint.text)

    def _deliver(self, delivery: Delivery) -> None:
        if isinstance(delivery, Frame):
            call(self._guard, self._ticker, "on_ticks", delivery.ticks)
        elif isinstance(delivery, Message):
            call(self._guard, self._ticker, "on_message", delivery.payload, delivery.is_binary)
            if not delivery.is_binary:
                self._read_text(delivery.payload)
        elif isinstance(delivery, StateChange):
            if self._closing is None:
                for told in self.story.take(delivery, lambda: self._close_reason(delivery)):
                    self._tell(told)
        else:
            _warn(delivery)

    def _read_text(self, payload: bytes) -> None:
        try:
            data = json.loads(payload)
        except (ValueError, RecursionError):
            return
        if not isinstance(data, dict):
            return
        if data.get("type") == "order" and data.get("data"):
            call(self._guard, self._ticker, "on_order_update", data["data"])
        if data.get("type") == "error":
            self._tell(Call("error", (0, data.get("data"))))

    def _close_reason(self, change: StateChange) -> str:
        status = self.market.attachment.streams[change.connection].feed_status
        if int(status["last_close_code"]) != change.detail:
            return ""
        raw: bytes = status["last_close_reason"].tobytes()
        return raw.partition(b"\0")[0].decode(errors="replace")

    # ---- telling -------------------------------------------------------------------------------

    def _tell(self, told: Call) -> None:
        ticker = self._ticker
        if told.name == "connect":
            self._tell_connect()
            return
        if told.name in ("error", "close"):
            word = "closed" if told.name == "close" else "error"
            _log.error("Connection %s: %s - %s", word, *told.arguments)
        if not self.story.connected and self._connection is not None:
            self._connection.state = Connection.STATE_CLOSED
        call(self._guard, ticker, f"on_{told.name}", *told.arguments)

    def _tell_connect(self) -> None:
        ticker = self._ticker
        ticker.ws = self._connection = Connection(ticker.close)
        ticker.ws.state = Connection.STATE_OPEN
        call(self._guard, ticker, "on_connect", ConnectionResponse.of(ticker.socket_url))
        call(self._guard, ticker, "on_open")

    # ---- the end -------------------------------------------------------------------------------

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        try:
            if self._own is not None:
                self._own.end()
                if self._closing is not None and self._closing.clean and self.story.connected:
                    self._drain()
            for told in self.story.finish(self._closing or _STOPPED):
                self._tell(told)
            if self._closing is _INSTANCE_GONE:
                self._tell(Call("noreconnect"))
        finally:
            self.market.close()

    def _drain(self) -> None:
        """Deliver what was received before the closing was through."""
        try:
            while not self._stopped:
                self._take()
        except InstanceEnded:
            return


def _warn(loss: Overrun | Quarantine | LostMessages) -> None:
    if isinstance(loss, LostMessages):
        _log.warning(
            "a callback is too slow: %d %s were overwritten before on_message was given them",
            loss.lost, "raw frames" if loss.is_binary else "texts",
        )  # fmt: skip
    elif isinstance(loss, Quarantine):
        _log.warning("a frame that nothing could decode was put aside")
    elif loss.stage == "reader":
        _log.warning(
            "on_ticks is too slow: %d ticks were overwritten before they were read", loss.lost
        )
    else:
        _log.warning(
            "%d %s were lost: %s", loss.lost, _WHAT[loss.stage], "this machine is too busy"
        )


_WHAT: Final = {"events": "state changes", "orders": "order updates", "decoder": "frames"}
