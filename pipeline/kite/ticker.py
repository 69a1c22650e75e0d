"""KiteTicker as kiteconnect 5.2.2 has it, on a pipeline of its own or a running one. Floor 7.

Same names, arguments, callbacks and dicts; what differs is in docs/coming-from-kiteticker.md.
connect() starts an instance in a fresh interpreter, hands it the token through a pipe, and ends it
with this process at the latest. The socket, the decoder and reconnecting are in other processes: a
callback that is slow or raises costs no connection.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

from pipeline.brokers.registry import decode_frame
from pipeline.core.errors import InstanceError, NotConnected, NotSupportedYet
from pipeline.core.secrets import Secret
from pipeline.kite.address import Address, read_address
from pipeline.kite.assignments import Assignments
from pipeline.kite.instance import ACCOUNT, OwnInstance, paths_for
from pipeline.kite.pending import Pending
from pipeline.kite.response import Connection
from pipeline.kite.session import Session
from pipeline.kite.settings import Settings, check, instance_config
from pipeline.kite.signals import ending_on_signals
from pipeline.kite.tokens import as_modes, as_tokens
from pipeline.shm.names import DEFAULT_ROOT
from pipeline.strategy.kite_dicts import to_kite_dicts
from pipeline.strategy.market import Market, attach

_RESTART_S: Final = 30.0

Callback = Callable[..., object]

log = logging.getLogger("pipeline.kite")


class KiteTicker:
    """The WebSocket client for Kite Connect's streaming quotes, as a drop-in for kiteconnect's.

    instance: attach to the running instance of that name instead of starting one; `subscribe`
      then chooses among what it streams, and the token is not used.
    owner: with `instance`, on the connections of this owner's accounts alone; see `attach`.
    connections: spread the instruments over so many connections of 3,000 each (Kite gives 3 to
      an API key).
    """

    EXCHANGE_MAP: ClassVar[dict[str, int]] = {
        "nse": 1,
        "nfo": 2,
        "cds": 3,
        "bse": 4,
        "bfo": 5,
        "bcd": 6,
        "mcx": 7,
        "mcxsx": 8,
        "indices": 9,
        "nco": 12,
        "bsecds": 6,
    }

    CONNECT_TIMEOUT: ClassVar = 30
    RECONNECT_MAX_DELAY: ClassVar = 60
    RECONNECT_MAX_TRIES: ClassVar = 50
    ROOT_URI: ClassVar = "wss://ws.kite.trade"

    MODE_FULL: ClassVar = "full"
    MODE_QUOTE: ClassVar = "quote"
    MODE_LTP: ClassVar = "ltp"

    _minimum_reconnect_max_delay: ClassVar = 5
    _maximum_reconnect_max_tries: ClassVar = 300

    def __init__(
        self, api_key: str, access_token: str, debug: bool = False, root: str | None = None,
        reconnect: bool = True, reconnect_max_tries: int = RECONNECT_MAX_TRIES,
        reconnect_max_delay: float = RECONNECT_MAX_DELAY,
        connect_timeout: float = CONNECT_TIMEOUT, *,
        instance: str | None = None, connections: int = 1,
        shm_directory: str | Path = DEFAULT_ROOT, owner: str | None = None,
    ) -> None:  # fmt: skip
        self.root = root or self.ROOT_URI
        self.reconnect = reconnect
        self.reconnect_max_tries = self._tries(reconnect_max_tries)
        self.reconnect_max_delay = self._delay(reconnect_max_delay)
        self.connect_timeout = connect_timeout
        self.debug = debug
        self.ws: Connection | None = None
        self.websocket_thread: threading.Thread | None = None
        #: {instrument token: mode}, of what is subscribed
        self.subscribed_tokens: dict[int, str] = {}

        self.on_ticks: Callback | None = None
        self.on_open: Callback | None = None
        self.on_close: Callback | None = None
        self.on_error: Callback | None = None
        self.on_connect: Callback | None = None
        self.on_message: Callback | None = None
        self.on_reconnect: Callback | None = None
        self.on_noreconnect: Callback | None = None
        self.on_order_update: Callback | None = None

        token = Secret(access_token) if isinstance(access_token, str) else None
        self._address = Address(self.root, api_key, token)
        self._instance_name = instance
        self._owner = owner
        self._connections = connections
        self._shm_directory = shm_directory
        self._lock = threading.RLock()
        self._pending: Pending | None = None
        self._session: Session | None = None
        self._blocking: list[Session] = []  # each with a connect() that has not returned
        self._assignments: Assignments | None = None

    def _tries(self, wanted: int) -> int:
        highest = self._maximum_reconnect_max_tries
        if wanted > highest:
            log.warning("`reconnect_max_tries` can not be more than %d: set to that.", highest)
        return min(wanted, highest)

    def _delay(self, wanted: float) -> float:
        lowest = self._minimum_reconnect_max_delay
        if wanted < lowest:
            log.warning("`reconnect_max_delay` can not be less than %d: set to that.", lowest)
        return max(wanted, lowest)

    def __repr__(self) -> str:
        state = "connected" if self.is_connected() else "not connected"
        return f"<KiteTicker {self.root}, {len(self.subscribed_tokens)} instruments, {state}>"

    @property
    def socket_url(self) -> str:
        """The address with key and token, as kiteconnect has it; it is not for logs."""
        return self._address.socket_url

    @socket_url.setter
    def socket_url(self, url: str) -> None:
        """Say where and as whom the next connect() connects, as kiteconnect's users do.

        Raises ValueError for what is no address with `api_key` and `access_token`.
        """
        self._address = read_address(url)

    @property
    def factory(self) -> NoReturn:
        """Not carried over: raises AttributeError, which says what there is instead."""
        raise AttributeError(
            "KiteTicker.factory is Twisted's, which is not used here: reconnect_max_tries, "
            "reconnect_max_delay, stop_retry() and close() do what it was used for"
        )

    # ---- connecting ----------------------------------------------------------------------------

    def connect(
        self, threaded: bool = False, disable_ssl_verification: bool = False,
        proxy: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Connect, and call back from here on: in this thread until `stop`, or in one of its own.

        Returns, when `threaded`, as soon as the instance is up, with the handshake under way.
        Raises ValueError for arguments that cannot work, InstanceError or SegmentError when the
        instance cannot start, InstanceNotFound when there is none to attach to.
        """
        if proxy:
            raise NotSupportedYet("a proxy", "connect without one, or from a host that has access")
        if disable_ssl_verification:
            log.warning("certificates are verified all the same; SSL_CERT_FILE names others")
        if not threaded:
            with ending_on_signals(self.stop):
                self._connect_here()
            return
        session = self._begin()
        if session is not None:
            self.websocket_thread = threading.Thread(
                target=session.run, kwargs={"stay": False}, name="KiteTicker", daemon=True
            )
            try:
                self.websocket_thread.start()
            except RuntimeError:  # no thread can be started: nobody would end what we began
                self.websocket_thread = None
                session.abandon()
                raise

    def _connect_here(self) -> None:
        session = self._begin()
        if session is None:
            return
        self._blocking.append(session)
        try:
            session.run(stay=True)
        finally:
            self._blocking.remove(session)

    def _begin(self) -> Session | None:
        """Return a new session; None, with a warning, while there is one that shall go on."""
        pending = Pending()
        with self._lock:
            if self._pending is not None:
                log.warning("connect(): this KiteTicker is connecting already")
                return None
            self._pending = pending
        try:
            if not self._wait_for_the_last_end() or pending.stopped:
                return None
            session = self._start()
        finally:
            self._pending = None  # first: whoever comes from now on finds the session
        with self._lock:
            pending.hand_over(session)
        return session

    def _wait_for_the_last_end(self) -> bool:
        """Return whether a new session may begin: the last one has ended, or is about to."""
        last = self._session
        if last is None:
            return True
        if not last.is_ending:
            log.warning("connect(): this KiteTicker is connected already")
            return False
        if not (last.is_own_thread or last.ended.wait(_RESTART_S)):
            raise InstanceError(
                f"connect(): the connection before has not ended for {_RESTART_S:.0f} s; a "
                "callback of this KiteTicker may not have returned"
            )
        return True

    def _start(self) -> Session:
        if self._instance_name is not None:
            return self._attach(self._instance_name)
        address = self._address
        settings = Settings(
            address.endpoint, address.api_key, self.connect_timeout, self.reconnect_max_delay,
            self._connections, self.debug,
        )  # fmt: skip
        token = address.access_token
        check(settings, token and token.reveal())
        assert token is not None
        paths = paths_for(self._shm_directory)
        config = instance_config(
            settings, name=paths.name, root=paths.root, token_file=paths.secrets / ACCOUNT
        )
        own = OwnInstance(paths)
        market = own.start(config, token)
        try:
            return self._take_over(own, market)
        except BaseException:
            own.end()
            market.close()
            raise

    def _take_over(self, own: OwnInstance, market: Market) -> Session:
        tries_max = self.reconnect_max_tries if self.reconnect else -1
        with self._lock:
            assignments = Assignments(own.paths, self._connections)
            assignments.write(as_modes(self.subscribed_tokens))
            session = Session(self, market, own, tries_max)
            self._assignments, self._session = assignments, session
        return session

    def _attach(self, name: str) -> Session:
        if self._address.access_token:
            log.warning("instance %s has its own token: the one given here is ignored", name)
        market = attach(name, shm_directory=self._shm_directory, owner=self._owner)
        with self._lock:
            self._assignments = None
            self._session = Session(self, market, None, self._maximum_reconnect_max_tries)
            self._session.inbox.only = frozenset(self.subscribed_tokens)
            if not market.has_pool:
                self._session.wanted = as_modes(self.subscribed_tokens)
            session = self._session
        try:
            self._ask_pool(self.subscribed_tokens, [])  # what a life before this one had
        except BaseException:
            session.abandon()
            raise
        return session

    def is_connected(self) -> bool:
        """Check if the connection is established."""
        return self._session is not None and self._session.story.connected

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close the connection, for good; connect() goes on waiting for `stop`."""
        self.stop_retry()
        with self._lock:
            asked = self._pending or self._session
            if asked is not None:
                asked.close(code, reason)

    def stop(self) -> None:
        """End it all: a blocking connect() returns. Nothing happens if nothing runs."""
        with self._lock:
            for asked in (self._pending, self._session, *self._blocking):
                if asked is not None:
                    asked.stop()

    def stop_retry(self) -> None:
        """Make no further attempt once the connection is lost."""
        with self._lock:
            asked = self._pending or self._session
            if asked is not None:
                asked.stop_retry()

    # ---- subscribing ---------------------------------------------------------------------------

    def subscribe(self, instrument_tokens: Iterable[int]) -> bool:
        """Subscribe to instrument tokens, in mode quote; what is subscribed keeps its mode.

        Raises NotConnected before connect(), TypeError or ValueError for what is no token,
        CapacityError for more than the connections carry; then nothing has changed.
        """
        tokens = as_tokens(instrument_tokens)
        return self._change("subscribe", dict.fromkeys(tokens, self.MODE_QUOTE), keep=True)

    def unsubscribe(self, instrument_tokens: Iterable[int]) -> bool:
        """Unsubscribe from instrument tokens; those that are not subscribed are passed over."""
        tokens = as_tokens(instrument_tokens)
        return self._change("unsubscribe", {}, gone=tokens)

    def set_mode(self, mode: str, instrument_tokens: Iterable[int]) -> bool:
        """Set the mode of instrument tokens: MODE_LTP, MODE_QUOTE or MODE_FULL."""
        if mode not in (self.MODE_LTP, self.MODE_QUOTE, self.MODE_FULL):
            raise ValueError(f"mode {mode!r}: expected MODE_LTP, MODE_QUOTE or MODE_FULL")
        return self._change("set_mode", dict.fromkeys(as_tokens(instrument_tokens), mode))

    def resubscribe(self) -> None:
        """Send what differs from `subscribed_tokens`; a reconnect does so by itself."""
        self._change("resubscribe", {})

    def _change(
        self, action: str, new: dict[int, str], gone: Iterable[int] = (), *, keep: bool = False
    ) -> bool:
        """Have what is new streamed, and no more what is gone; `keep` the modes that there are."""
        had = self.subscribed_tokens
        asked = {token: mode for token, mode in new.items() if not (keep and token in had)}
        self._ask_pool(asked, [token for token in gone if token in had])
        with self._lock:
            session = self._session
            if session is None:
                raise NotConnected(f"{action}() before connect(): do it in on_connect")
            wanted = {**had, **new, **(had if keep else {})}
            for token in gone:
                wanted.pop(token, None)
            if self._assignments is not None and not session.ended.is_set():
                self._assignments.write(as_modes(wanted))
            for token in had.keys() - wanted.keys():  # never empty in between: others look at it
                del had[token]
            had.update(wanted)
            if self._assignments is None:
                session.inbox.only = frozenset(wanted)
                if not session.market.has_pool:
                    session.wanted = as_modes(wanted)
        return True

    def _ask_pool(self, new: dict[int, str], gone: list[int]) -> None:
        """Have a pool stream what is new; it answers before anything changes here."""
        session = self._session
        if self._instance_name is None or session is None or not session.market.has_pool:
            return
        for mode in sorted(set(new.values())):
            tokens = [token for token, wanted in new.items() if wanted == mode]
            session.market.subscribe(tokens, mode)
        if gone:
            session.market.unsubscribe(gone)

    def _parse_binary(self, bin: bytes) -> list[dict[str, Any]]:  # noqa: A002
        """Return the ticks of a frame; scripts call it on what `on_message` gave them."""
        return to_kite_dicts(decode_frame("kite", bin))
