"""`attach`, and the `Market` that it returns: what strategy code holds. Floor 3.

One Market is one reader with a cursor per connection; it is used by one thread at a time, except
`stop`, `latest`, `connections` and what is said about subscriptions. It starts nothing and slows
nobody down: a strategy may be killed at any time. It does not survive a fork: a child attaches by
itself. Taking items is in `reading.py`, what is said about subscriptions in `subscribing.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from ext.streams import ReaderPolicy
from pipeline.core.control import Instrument
from pipeline.core.enums import Mode
from pipeline.core.errors import InstanceNotFound
from pipeline.core.naps import NAP_US, NAP_US_MAX
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
from pipeline.strategy.frames import Frames, open_frames
from pipeline.strategy.items import Idle, TickArray, Ticks
from pipeline.strategy.iterators import Batches, Items, OnEvent, Tagged, Views
from pipeline.strategy.names import as_tokens
from pipeline.strategy.page import default_name
from pipeline.strategy.reading import Reading
from pipeline.strategy.subscribing import Subscribing

BUFFER_TICKS_MIN: Final = 256
BUFFER_TICKS_MAX: Final = 1 << 20
SPIN_US_MAX: Final = 1_000_000
_LOOK_AGAIN_S: Final = 0.05

_POLICIES: Final = {
    "resume": ReaderPolicy.READER_RESUME,
    "skip": ReaderPolicy.READER_SKIP,
    "raise": ReaderPolicy.READER_RAISE,
}

Policy = Literal["resume", "skip", "raise"]
From = Literal["now", "oldest"]


def attach(
    instance: str, *, name: str | None = None, policy: Policy = "resume", from_: From = "now",
    follow: bool = False, buffer_ticks: int = 4096, spin_us: int = 0, nap_us: int = NAP_US,
    wait_s: float = 0.0, shm_directory: str | Path = DEFAULT_ROOT,
    instruments_file: str | Path | None = None, owner: str | None = None,
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
    spin_us: how long to look for ticks before going to sleep, in microseconds, at most a second.
    nap_us: while it is woken 50 to some 3,000 times a second, after how long it also wakes by
      itself, in microseconds (up to 5,000), so that the core is never idle for long; 0: not at all.
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
    buffer_ticks = _checked("buffer_ticks", buffer_ticks, BUFFER_TICKS_MIN, BUFFER_TICKS_MAX)
    spin_us = _checked("spin_us", spin_us, 0, SPIN_US_MAX)
    nap_us = _checked("nap_us", nap_us, 0, NAP_US_MAX)
    options = ReaderOptions(
        name=default_name() if name is None else name,
        policy=_POLICIES[policy],
        from_oldest=from_ == "oldest",
        buffer_ticks=buffer_ticks,
        spin_us=spin_us,
        nap_us=nap_us,
        follow=follow,
        instruments_file=None if instruments_file is None else Path(instruments_file),
        owner=owner,
    )
    return Market(_find(instance, Path(shm_directory), wait_s, options), options)


def _checked(name: str, value: object, least: int, most: int) -> int:
    """Return it as Python's own number: one of numpy's would overflow when it is multiplied."""
    if not isinstance(value, int | np.integer) or not least <= value <= most:
        raise ValueError(f"{name} {value!r}: expected a whole number from {least} to {most}")
    return int(value)


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


class Market(Reading, Subscribing):
    """A running instance, as a strategy sees it; made by `attach`, closed by `with` or `close`."""

    def __init__(self, attachment: Attachment, options: ReaderOptions) -> None:
        super().__init__(attachment, options)
        self._begin_subscribing()
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
