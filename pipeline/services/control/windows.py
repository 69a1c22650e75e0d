"""Windows of options that follow their underlying's price, as parts of their clients. Floor 4.

No I/O: what a form stands for, and so the price, comes from `expand`; time is passed in. A window
wants its options and, in ltp mode, its underlying. When the strike at the money has moved far
enough and long enough after the last move, its whole demand is replaced in one change of the
ledger, so that the next turn writes one difference into each table and feeds send one batch. What
has no room changes nothing: the old window stays, and says so.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from pipeline.core.clock import NS_PER_S, real_ns
from pipeline.core.config import PoolConfig
from pipeline.core.control import MODES
from pipeline.core.enums import Mode
from pipeline.planning.pool import Want
from pipeline.planning.window import is_due
from pipeline.services.control.names import Expanded, Stranger
from pipeline.services.control.pool import Pool

#: Windows are looked at no more often, and those that wait for their first price so often.
TURN_NS: Final = NS_PER_S

Expand = Callable[[str], Expanded | Stranger]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowPolicy:
    """How readily windows move: by so many points, or listed strikes, if that is not None."""

    check_ns: int = 60 * NS_PER_S
    move_min: float = 100.0
    move_strikes: int | None = None
    interval_min_ns: int = 300 * NS_PER_S


@dataclass(frozen=True, kw_only=True)
class Window:
    """A form of a client, and what it stands for; `template` says how its options are wanted.

    moved_ns: monotonic, of the last move by a price that streams; None before the first.
    """

    client: str
    form: str
    template: Want
    view: Expanded
    since_ts_ns: int
    moved_ns: int | None = None
    moves: int = 0
    problem: str = ""

    @property
    def part(self) -> str:
        """Its name in the ledger, which no client can have; a restart reads it back."""
        return f"{self.client}/{self.template.mode.name.lower()}/{self.form}"

    @property
    def wants(self) -> dict[int, Want]:
        """All that it wants: its options, and what they follow."""
        underlying = Want(self.view.underlying, Mode.LTP, self.template.priority)
        options = (self.template._replace(instrument_token=token) for token in self.view.tokens)
        return {want.instrument_token: want for want in (underlying, *options)}


class Windows:
    """All windows of a pool, by client and form."""

    def __init__(self, pool: Pool, expand: Expand, policy: FollowPolicy) -> None:
        self._pool = pool
        self._expand = expand
        self._policy = policy
        self._windows: dict[tuple[str, str], Window] = {}
        self._check_at: dict[tuple[str, str], int] = {}
        self._turn_at_ns = 0

    # ---- for clients ------------------------------------------------------------------------

    def get(self, client: str, form: object) -> Window | None:
        """Return a client's window of that form."""
        return self._windows.get((client, form)) if isinstance(form, str) else None

    def of(self, client: str) -> list[Window]:
        """Return the windows of a client."""
        return [window for window in self._windows.values() if window.client == client]

    def draft(self, client: str, form: str, template: Want) -> Window | Stranger:
        """Return a window as it would be, which `begin` begins; one that is there stays put."""
        known = self.get(client, form)
        if known is not None:
            return replace(known, template=template)
        view = self._expand(form)
        if isinstance(view, Stranger):
            return view
        return Window(client=client, form=form, template=template, view=view, since_ts_ns=real_ns())

    def begin(self, window: Window) -> None:
        """Have a window from now on, or have it as it says now."""
        known = self.get(window.client, window.form)
        if known is None:
            _log.info(f"window {window.form} of {window.client}: {_state(window)}")
        self._put(window)
        if known is not None and known.part != window.part:
            self._pool.ledger.forget(known.part)

    def end(self, client: str, form: object) -> None:
        """Give up a window, if there is one."""
        window = self.get(client, form)
        if window is None:
            return
        self._take_out(window)
        self._pool.ledger.forget(window.part)
        _log.info(f"window {window.form} of {client}: given up")

    def restore(self) -> None:
        """Take up the windows among what durable clients wanted before a restart."""
        ledger = self._pool.ledger
        for part in [name for name in ledger.clients if "/" in name]:
            client, mode, form = part.split("/", 2)
            if client not in ledger.clients:
                ledger.join(client, durable=True)
            ledger.attach(client, part)
            found = list(ledger.clients[part].wants.values())
            template = max(found, key=lambda want: want.mode)._replace(mode=MODES[mode])
            view = self._expand(form)
            if isinstance(view, Stranger):
                _log.warning(f"window {form} of {client}: stays as it was: {view.text}")
                continue
            if view.centre is None:  # until there is a price, what it had
                kept = tuple(w.instrument_token for w in found if w.mode is template.mode)
                view = view._replace(tokens=kept)
            self._put(
                Window(
                    client=client, form=form, template=template, view=view, since_ts_ns=real_ns()
                )
            )

    # ---- following --------------------------------------------------------------------------

    def turn(self, now_ns: int) -> None:
        """Look at the prices of the windows whose time has come; cheap between."""
        if now_ns < self._turn_at_ns:
            return
        self._turn_at_ns = now_ns + min(TURN_NS, self._policy.check_ns)
        for key, window in list(self._windows.items()):
            if window.part not in self._pool.ledger.clients:
                self._take_out(window)  # its client is gone
            elif now_ns >= self._check_at.get(key, 0):
                self._check(key, window, now_ns)
        stuck = [window for window in self._windows.values() if window.problem]
        self._pool.stuck_windows = {f"{w.client} {w.form}": w.problem for w in stuck}

    def _check(self, key: tuple[str, str], window: Window, now_ns: int) -> None:
        fresh = self._expand(window.form)
        if isinstance(fresh, Stranger):
            self._say(window, fresh.text)
        elif fresh.centre is None or not (fresh.streamed or window.view.centre is None):
            return  # until the underlying ticks; at the next turn again
        elif self._is_due(window, fresh, now_ns):
            self._move(window, fresh, now_ns)
        elif window.problem:
            self._say(window, "")
        self._check_at[key] = now_ns + self._policy.check_ns

    def _is_due(self, window: Window, fresh: Expanded, now_ns: int) -> bool:
        if fresh.edition != window.view.edition:
            return True  # another day or list: what has expired does not wait
        old, new, least = window.view.centre, fresh.centre, self._policy.move_min
        if self._policy.move_strikes is not None and old is not None and new is not None:
            old, new = (float(bisect_left(fresh.strikes, strike)) for strike in (old, new))
            least = float(self._policy.move_strikes)
        moved_ns = window.moved_ns
        interval_ns = self._policy.interval_min_ns
        return old != new and is_due(
            old, new,
            since_ns=interval_ns if moved_ns is None else now_ns - moved_ns,
            move_min=least, interval_min_ns=interval_ns,
        )  # fmt: skip

    def _move(self, window: Window, fresh: Expanded, now_ns: int) -> None:
        moved = replace(
            window, view=fresh, moved_ns=now_ns, moves=window.moves + 1, problem="",
        )  # fmt: skip
        before, after = window.wants, moved.wants
        ledger = self._pool.ledger
        gone = {token for token in before.keys() - after.keys() if len(ledger.holders(token)) == 1}
        added = {token: after[token] for token in after.keys() - before.keys()}
        plan = self._pool.plan(
            ledger.with_added(window.part, added), all_or_nothing=True, without=gone
        )
        if plan.refused:
            self._say(
                window,
                f"it cannot move to {fresh.centre:g}: {len(added)} instruments more, "
                f"{len(gone)} less, room for {plan.available}: {plan.refused[0].why.text}; it "
                "stays as it is",
            )
            return
        self._put(moved)
        _log.info(
            f"window {window.form} of {window.client}: {_centre(window)} -> {_state(moved)}, "
            f"{len(added)} added, {len(before.keys() - after.keys())} dropped"
        )

    def _say(self, window: Window, problem: str) -> None:
        if problem and not window.problem:
            _log.warning(f"window {window.form} of {window.client}: {problem}")
        if problem != window.problem:
            self._windows[window.client, window.form] = replace(window, problem=problem)

    def _put(self, window: Window) -> None:
        self._windows[window.client, window.form] = window
        self._pool.ledger.attach(window.client, window.part)
        self._pool.ledger.replace(window.part, window.wants)

    def _take_out(self, window: Window) -> None:
        del self._windows[window.client, window.form]
        self._check_at.pop((window.client, window.form), None)

    # ---- documents --------------------------------------------------------------------------

    def document(self, client: str | None = None) -> list[dict[str, Any]]:
        """Return every window, or those of a client, in JSON's types."""
        chosen: Iterable[Window] = self._windows.values() if client is None else self.of(client)
        return [
            {
                "form": window.form,
                "client": window.client,
                "mode": window.template.mode.name.lower(),
                "underlying": window.view.underlying,
                "centre": window.view.centre,
                "since_ts_ns": window.since_ts_ns,
                "moves": window.moves,
                "instruments": list(window.view.tokens),
                "problem": window.problem or None,
            }
            for window in chosen
        ]


def follow_policy(settings: PoolConfig) -> FollowPolicy:
    """Return how readily a config wants windows to move."""
    return FollowPolicy(
        check_ns=round(settings.window_check_s * NS_PER_S),
        move_min=settings.window_move,
        move_strikes=settings.window_move_strikes,
        interval_min_ns=round(settings.window_interval_s * NS_PER_S),
    )


def _centre(window: Window) -> str:
    centre = window.view.centre
    return "waits for a price" if centre is None else f"around {centre:g}"


def _state(window: Window) -> str:
    return f"{_centre(window)}, {len(window.view.tokens)} instruments"
