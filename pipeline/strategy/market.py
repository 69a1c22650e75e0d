"""`attach`, and the `Market` that it returns: what strategy code holds. Floor 3.

One Market is one reader with a cursor per connection; it is used by one thread at a time, except
`stop`, `latest`, `connections` and what is said about subscriptions. It starts nothing and slows
nobody down: a strategy may be killed at any time. It does not survive a fork: a child attaches by
itself.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from ext.streams import ReaderPolicy
from pipeline.core.clock import NS_PER_MS, monotonic_ns, real_ns
from pipeline.core.control import Ask, Instrument, Subscribe, mode_of
from pipeline.core.enums import Mode, Reason
from pipeline.core.errors import (
    ControlUnavailable,
    InstanceEnded,
    InstanceNotFound,
    NotSupportedYet,
)
from pipeline.core.errors import Overrun as OverrunError
from pipeline.instruments.lookup import shared
from pipeline.shm.instance import open_instance
from pipeline.shm.names import DEFAULT_ROOT
from pipeline.strategy.attachment import (
    Attachment,
    ConnectionInfo,
    ReaderOptions,
    check_owner,
    open_ready,
)
from pipeline.strategy.demand import DemandKeeper, SubscribeResult
from pipeline.strategy.forms import as_forms
from pipeline.strategy.frames import Frames, open_frames
from pipeline.strategy.helper import Helper
from pipeline.strategy.items import Gap, Idle, Item, Overrun, TickArray, Ticks, item_of_notice
from pipeline.strategy.iterators import Batches, Items, OnEvent, Tagged, Views
from pipeline.strategy.names import as_tokens
from pipeline.strategy.page import default_name
from pipeline.strategy.selecting import ticks_of

BUFFER_TICKS_MIN: Final = 256
BUFFER_TICKS_MAX: Final = 1 << 20
_LOOK_AGAIN_S: Final = 0.05
_LOOK_INTERVAL_NS: Final = 100 * NS_PER_MS
#: Ended, twice in a row with nothing new in between: then nothing more can come.
_ENDED_LOOKS: Final = 2

_POLICIES: Final = {
    "resume": ReaderPolicy.READER_RESUME,
    "skip": ReaderPolicy.READER_SKIP,
    "raise": ReaderPolicy.READER_RAISE,
}

Policy = Literal["resume", "skip", "raise"]
From = Literal["now", "oldest"]


def attach(
    instance: str, *, name: str | None = None, policy: Policy = "resume", from_: From = "now",
    follow: bool = False, buffer_ticks: int = 4096, spin_us: int = 0, wait_s: float = 0.0,
    shm_directory: str | Path = DEFAULT_ROOT, instruments_file: str | Path | None = None,
    owner: str | None = None,
) -> Market:  # fmt: skip
    """Attach to a running instance by its name, from any process of the same user.

    name: how this reader is called in `stat`; by default after the script.
    policy: what happens when this reader was too slow and ticks were overwritten before it read
      them. "resume" goes on at the oldest that is safe, "skip" at the newest, both after telling
      how many were lost; "raise" raises Overrun, and goes on as "resume" if asked again.
    from_: "now" begins with the next tick, "oldest" with what is still there.
    follow: when the instance ends, wait for the next one of its name instead of raising
      InstanceEnded; a Gap per connection then says what lies between.
    buffer_ticks: the most ticks of one batch (320 bytes each).
    spin_us: how long to look for ticks before going to sleep, in microseconds.
    wait_s: how long to wait for the instance to come up.
    instruments_file: the list that names are looked up in; by default where `instruments sync`
      puts it.
    owner: see only what comes on the connections of this owner's accounts, and subscribe on them;
      without it everything of the instance is seen, and subscribing takes an owner if there are
      several.

    Raises InstanceNotFound naming the instances that run, InstanceError for an owner that it does
    not have, LayoutMismatch when it is of another build, SegmentError for a name or directory that
    cannot be used.
    """
    if policy not in _POLICIES:
        raise ValueError(f'policy {policy!r}: expected "resume", "skip" or "raise"')
    _check_from(from_)
    if not BUFFER_TICKS_MIN <= buffer_ticks <= BUFFER_TICKS_MAX:
        raise ValueError(
            f"buffer_ticks {buffer_ticks}: expected {BUFFER_TICKS_MIN} to {BUFFER_TICKS_MAX}"
        )
    options = ReaderOptions(
        name=default_name() if name is None else name,
        policy=_POLICIES[policy],
        from_oldest=from_ == "oldest",
        buffer_ticks=buffer_ticks,
        spin_us=spin_us,
        follow=follow,
        instruments_file=None if instruments_file is None else Path(instruments_file),
        owner=owner,
    )
    return Market(_find(instance, Path(shm_directory), wait_s, options), options)


def _check_from(from_: str) -> None:
    if from_ not in ("now", "oldest"):
        raise ValueError(f'from_ {from_!r}: expected "now" or "oldest"')


def _find(instance: str, root: Path, wait_s: float, options: ReaderOptions) -> Attachment:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            view = open_ready(open_instance(instance, root))
            check_owner(view, options.owner)
            return Attachment(view, options)
        except InstanceNotFound:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_AGAIN_S)


class Market:
    """A running instance, as a strategy sees it; made by `attach`, closed by `with` or `close`."""

    def __init__(self, attachment: Attachment, options: ReaderOptions) -> None:
        self.attachment = attachment
        self.options = options
        self.lost = 0
        self._notices: deque[Item] = deque()
        self._helper: Helper | None = None
        self._helpers: list[Helper] = []
        self._keeper: DemandKeeper | None = None
        self._keeper_lock = threading.Lock()
        self._ended_looks = 0
        self._next_look_ns = monotonic_ns() + _LOOK_INTERVAL_NS
        self._stopped = False
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "attached"
        return f"<Market {self.attachment.paths.name!r}, reader {self.options.name!r}, {state}>"

    # ---- for strategies ---------------------------------------------------------------------

    def batches(
        self, timeout_s: float | None = None, *, copy: bool = True, connection: int | None = None,
        on_event: OnEvent | None = None,
    ) -> Batches | Views:  # fmt: skip
        """Iterate, with `for` or `async for`, over arrays of new ticks.

        Each is an (n,) structured array of `pipeline.tick_dtype` with 1 to `buffer_ticks` ticks of
        all connections; the order holds per connection. It lies in this reader's own buffer and
        is valid until the next one is asked for. After `timeout_s` without a tick an empty array
        comes, so that the loop can do something else; None waits without end.

        copy=False hands out read-only views of one `connection`'s stream instead, without a copy:
        only its newer half, checked again when the loop comes back. Raises Overrun when a view was
        overwritten meanwhile: what was computed from it may be wrong.

        on_event: called with each Gap, StateChange, Overrun and Quarantine, in its place among
        the connection's ticks; without it they are dropped (`stream` yields them instead).
        Raises InstanceEnded when the instance ended and all its ticks were handed out.
        """
        if copy:
            if connection is not None:
                raise ValueError("connection= goes with copy=False; a batch merges all connections")
            return Batches(self, timeout_s, on_event)
        if connection is None:
            raise ValueError("copy=False reads one stream: say which with connection=")
        return Views(self, timeout_s, on_event, connection)

    def stream(self, timeout_s: float | None = None) -> Items:
        """Iterate, with `for` or `async for`, over everything that happens.

        Yields Ticks, Gap, StateChange, Overrun, Quarantine and OrderUpdate, and Idle after
        `timeout_s` of nothing. The order holds for the ticks and events of one connection; order
        updates are not ordered against ticks. Raises InstanceEnded as `batches` does.
        """
        return Items(self, timeout_s)

    def tagged(self, timeout_s: float | None = None) -> Tagged:
        """Iterate as `stream` does, with TaggedTicks (account, connection, ticks) for Ticks.

        The ticks of each connection come apart from those of the others, in their order.
        """
        return Tagged(self, timeout_s)

    def frames(
        self, connection: int | None = None, timeout_s: float | None = None, *,
        from_: From = "now",
    ) -> Frames:  # fmt: skip
        """Iterate, with `for` or `async for`, over raw frames: RawFrame, byte for byte as sent.

        connection: only of this one; without it of all, also of those that come later. The order
          holds per connection.
        from_: as in `attach`.

        It reads beside ticks and events, from a cursor of its own, and may do so in another
        thread. A reader that was lapped gets an Overrun of stage "frames"; after `timeout_s`
        without a frame comes an Idle. Raises InstanceEnded when there can be no more.
        """
        _check_from(from_)
        return open_frames(self, connection, timeout_s, oldest=from_ == "oldest")

    def run(
        self, *, on_ticks: Callable[[TickArray], object] | None = None,
        on_event: OnEvent | None = None, on_idle: Callable[[], object] | None = None,
        timeout_s: float = 1.0,
    ) -> None:  # fmt: skip
        """Call back until `stop`: ticks as arrays, all else as the items of `stream`.

        on_idle is called after `timeout_s` of nothing. What a callback raises ends the run.
        """
        for item in self.stream(timeout_s):
            if isinstance(item, Ticks):
                if on_ticks is not None:
                    on_ticks(item.ticks)
            elif isinstance(item, Idle):
                if on_idle is not None:
                    on_idle()
            elif on_event is not None:
                on_event(item)

    def latest(self, instruments: ArrayLike | Instrument | Iterable[Instrument]) -> TickArray:
        """Return the newest tick of each instrument: an (n,) array, each record consistent.

        instruments: tokens and names such as `NSE:INFY`, in any order; a window of options is as
        many records. An instrument that has not ticked yet has sequence 0 and mode 0. Raises
        CapacityError for tokens that the instance does not stream and that this market has not
        subscribed to, UnknownInstruments for names that are not listed.
        """
        keeper = self._keeper
        tokens = as_tokens(
            instruments,
            file=self.options.instruments_file,
            subscribed=lambda form: () if keeper is None else keeper.tokens_of([form]),
            price=self._price,
        )
        expected = frozenset() if keeper is None else keeper.tokens()
        return self.attachment.latest().read(tokens, expected)

    def _price(self, token: int) -> float | None:
        """Return the last price of an instrument that streams, else the one in the list."""
        latest = self.attachment.latest()
        if token in latest.tokens:
            price = float(latest.read([token])["last_price"][0])
            if price > 0:
                return price
        return shared(self.options.instruments_file).find(token).last_price

    @property
    def tokens(self) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
        """The instrument tokens that the instance streams, sorted."""
        found: np.ndarray[tuple[int], np.dtype[np.uint32]] = self.attachment.latest().tokens
        return found

    def modes(self) -> dict[int, Mode]:
        """Return {instrument token: mode} of all that the instance streams, by token."""
        return self.attachment.latest().modes()

    def connections(self) -> list[ConnectionInfo]:
        """Return where each connection stands: state, reason, since when, and its counts.

        And whose it is: `account` and `owner`.
        """
        return self.attachment.connections()

    def owner_of(self, connection: int) -> str:
        """Return whose a connection is, by its number; "" if it is not there and never was.

        Whoever attaches without an owner and hands on what comes to several people goes by this,
        for `ticks["connection"]` and for the `connection` of every item: the config's owner of the
        account, which never changes while the instance lives. What is nobody's is for nobody.
        """
        return self.attachment.holders.of(connection).owner

    def subscribe(
        self, instruments: Instrument | Iterable[Instrument], mode: str = "quote", *,
        partial: bool = False, dry_run: bool = False, priority: str = "warm",
        account: str | None = None, connection: int | None = None, group: str | None = None,
        follow: bool = False,
    ) -> SubscribeResult:  # fmt: skip
        """Want instruments, or want them in another mode: "ltp", "quote" or "full".

        instruments: tokens and names, one or many. What this market wants lives as long as it,
        and a grace of `[pool] linger_s`; over a restart of the control process it is kept.
        partial: take what there is room for; without it all are accepted or none.
        dry_run: only say what would be.
        priority: "critical", "hot", "warm" or "cold": who is kept when capacity is short.
        account, connection, group: only there; or all of one group together, where the pool's
          policy knows groups.
        follow: a form with `atm`, such as "NFO:NIFTY@weekly:atm+-10", moves with its underlying,
          which is subscribed to in ltp mode, until `unsubscribe` of the same form.

        Raises CapacityError with the numbers, UnknownInstruments with near names, RequestRefused,
        ControlUnavailable when the control process does not answer within 10 s: nothing has
        changed then. Raises NotSupportedYet when the instance has no `[pool]`.
        """
        mode_of(mode)
        request = Subscribe(
            instruments=as_forms(instruments), mode=mode, partial=partial, dry_run=dry_run,
            priority=priority, account=account, connection=connection, group=group,
            follow=follow,
        )  # fmt: skip
        return self._pool("Market.subscribe").subscribe(request)

    def unsubscribe(self, instruments: Instrument | Iterable[Instrument]) -> int:
        """Want instruments no longer; return how many of them this market had wanted.

        Others may go on wanting them, and then they go on streaming. Raises as `subscribe` does.
        """
        forms = as_forms(instruments)
        return self._pool("Market.unsubscribe").unsubscribe(forms)

    def set_mode(
        self, mode: str, instruments: Instrument | Iterable[Instrument]
    ) -> SubscribeResult:
        """Want those of the instruments that are wanted in another mode.

        The highest mode that anybody wants is what comes. Raises as `subscribe` does.
        """
        mode_of(mode)
        forms = as_forms(instruments)
        return self._pool("Market.set_mode").set_mode(forms, mode)

    def mine(self, ticks: TickArray) -> TickArray:
        """Return a copy of those ticks whose instruments this market has subscribed to."""
        tokens = np.empty(0, np.uint32) if self._keeper is None else self._keeper.token_array()
        return ticks_of(ticks, tokens)

    def wants(self) -> dict[Instrument, str]:
        """Return {instrument: mode} of what this market has subscribed to, as it was written."""
        return {} if self._keeper is None else self._keeper.wants()

    def stats(self) -> dict[str, Any]:
        """Return the figures of the pool's accounts and connections, as `pool stats --json` has.

        Raises as `subscribe` does.
        """
        found: dict[str, Any] = self._pool("Market.stats").request(Ask(about="stats"))
        return found

    def health(self) -> dict[str, Any]:
        """Return how well the pool is, as `pool health --json`; raise as `subscribe` does."""
        found: dict[str, Any] = self._pool("Market.health").request(Ask(about="health"))
        return found

    @property
    def has_pool(self) -> bool:
        """Whether instruments can be subscribed to: the instance has a control process."""
        attachment = self.attachment
        return attachment.has_control or attachment.paths.control_socket.exists()

    def demand(self) -> DemandKeeper:
        """Return what speaks with the control process; raise NotSupportedYet without a pool."""
        return self._pool("this")

    def _pool(self, feature: str) -> DemandKeeper:
        with self._keeper_lock:
            if self._keeper is None:
                if not self.has_pool:
                    _config_only(feature)
                if self._closed:
                    raise ControlUnavailable("this market is closed: attach again")
                self._keeper = self._make_keeper()
            return self._keeper

    def _make_keeper(self) -> DemandKeeper:
        view, follow = self.attachment.view, self.options.follow

        def check() -> None:
            if not follow and not view.is_live():
                raise InstanceEnded(view.paths.name)

        keeper = DemandKeeper(
            self.attachment.paths.control_socket,
            client=self.attachment.page.segment.path.name,
            check=check,
            owner=self.options.owner,
        )
        weakref.finalize(self, keeper.close).atexit = False
        return keeper

    def stop(self) -> None:
        """End every loop over this market, at once; from any thread or signal handler."""
        self._stopped = True
        self.attachment.reader.stop()

    def close(self) -> None:
        """Stop, and take this reader's page away; arrays that were handed out stay valid."""
        if self._closed:
            return
        self._closed = True
        self.stop()
        for helper in self._helpers:
            helper.close()
        if self._keeper is not None:
            self._keeper.close()
        self.attachment.close()

    # ---- for the iterators ------------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `close` was called."""
        return self._stopped

    @property
    def has_notices(self) -> bool:
        """Whether something other than ticks waits to be handed out."""
        return bool(self._notices)

    def take(self, *, orders: bool = False) -> Item | None:
        """Return the next item without waiting, None if there is none."""
        if self._notices:
            return self._next_notice()
        attachment = self.attachment
        attachment.follow_manifest()
        # Who takes no orders must not be woken by them: they would stay, and so would be news.
        attachment.reader.watch_orders = orders
        count = attachment.reader.poll()
        self._note()
        if orders:
            self._notices.extend(attachment.take_orders())
        if count:
            self._ended_looks = 0
            return Ticks(attachment.buffer[:count])
        return self._next_notice() if self._notices else self._look_at_end()

    def take_notices(self) -> Iterator[Item]:
        """Yield what waits to be handed out other than ticks."""
        while self._notices:
            yield self._next_notice()

    def take_view(self, connection: int) -> tuple[int, TickArray]:
        """Return (sequence, ticks) of one connection in place, without waiting."""
        self.attachment.follow_manifest()
        self.attachment.reader.watch_orders = False
        sequence, ticks = self.attachment.take_view(connection)
        self._note()
        if len(ticks) or self._notices:
            self._ended_looks = 0
        else:
            self._look_at_end()
        return sequence, ticks

    def _note(self) -> None:
        reader = self.attachment.reader
        if reader.notice_count:
            self._notices.extend(map(item_of_notice, reader.notices()))

    def _next_notice(self) -> Item:
        item = self._notices.popleft()
        if isinstance(item, Overrun) and item.stage == "reader":
            self.lost += item.lost
            if self.options.policy is ReaderPolicy.READER_RAISE:
                raise OverrunError(connection=item.connection, lost=item.lost)
        return item

    def wait(self, timeout_ns: int, connection: int, *, poll: bool) -> None:
        """Wait for news, at most 100 ms; with `poll` they are what the next `take` takes."""
        self.attachment.reader.wait(timeout_ns, connection, poll)

    async def wait_async(self, timeout_ns: int, connection: int) -> None:
        """As `wait`, in the helper thread."""
        if self._helper is None:
            self._helper = self.make_helper("wait")
        reader = self.attachment.reader
        await self._helper.wait(lambda: reader.wait(timeout_ns, connection))

    def make_helper(self, purpose: str) -> Helper:
        """Return a thread to wait in, which ends when this market is closed."""
        self._helpers.append(Helper(f"{self.options.name}-{purpose}"))
        return self._helpers[-1]

    def settle(self) -> None:
        """Block until no wait of a cancelled `async for` is under way (at most 100 ms)."""
        if self._helper is not None:
            self._helper.join()

    async def settle_async(self) -> None:
        """As `settle`, without blocking."""
        if self._helper is not None:
            await self._helper.settle()

    # ---- the instance's end -----------------------------------------------------------------

    def _look_at_end(self) -> Item | None:
        """With nothing to take: every 100 ms, see whether the instance has ended."""
        now = monotonic_ns()
        if now >= self._next_look_ns and not self._stopped:
            self._next_look_ns = now + _LOOK_INTERVAL_NS
            self._ended_looks = self._ended_looks + 1 if self.attachment.has_ended() else 0
            if self._ended_looks >= _ENDED_LOOKS:
                if not self.options.follow:
                    raise InstanceEnded(self.attachment.paths.name)
                self._succeed()
        return self._next_notice() if self._notices else None

    def _succeed(self) -> None:
        """Attach to the next life of the instance, once it has begun."""
        view = self.attachment.find_successor()
        if view is None:
            return
        before = self.attachment
        before.close()  # first: the next page has the same name
        try:
            self.attachment = Attachment(view, replace(self.options, from_oldest=True))
        except FileNotFoundError:
            return  # it has ended again already
        self._ended_looks = 0
        self._notices.extend(_gaps(before))
        if self._stopped:
            self.attachment.reader.stop()


def _gaps(before: Attachment) -> Iterator[Gap]:
    """A gap per connection, from its last tick to now; what follows is another life's."""
    for number in before.reader.connections:
        start_ts_ns, start_mono_ns = before.last_receive(number)
        yield Gap(
            connection=number,
            connection_epoch=0,
            reason=Reason.DISCONTINUITY,
            start_ts_ns=start_ts_ns,
            end_ts_ns=real_ns(),
            start_mono_ns=start_mono_ns,
            end_mono_ns=monotonic_ns(),
            tick_sequence=0,
        )


def _config_only(feature: str) -> NoReturn:
    raise NotSupportedYet(
        feature,
        "give the instance a [pool] in its config file, or list the instruments in "
        "[[subscription]] instruments, with their mode; and start it again",
    )
