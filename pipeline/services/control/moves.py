"""Moving instruments between connections: made before it is broken. Floor 4.

An instrument is assigned to its target under a higher owner epoch and with its own slot. Once the
target's first packet is there, and what the source received until then is decoded, the owner flips
and the source lets go. In between both deliver, and the decoder drops what is not newer. What a
failed connection carries goes the same way: its row stays until the target has ticked. Between
decoders there is no such overlap: there the source lets go first, and readers are told a gap of the
instrument. Begun are no more in a second than `[pool] moves_per_s`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.core.clock import NS_PER_MS, NS_PER_S
from pipeline.planning.pacing import MovePacer
from pipeline.planning.pool import Move, Want
from pipeline.services.control.assigned import Assigned
from pipeline.services.control.links import Link, is_open
from pipeline.services.control.surroundings import Surroundings

#: A source goes on until its decoder is past the target's first packet by so much: what is under
#: way at that moment was sent before it.
LINGER_NS: Final = 250 * NS_PER_MS
#: Or, when it brings nothing, for so long.
LINGER_NS_MAX: Final = 2 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Moving:
    """An instrument under way: assigned to both, owned by the source until `target` delivers.

    What the target received before `begun_mono_ns` is of an earlier time that it had it;
    `since_mono_ns` is when this process began to wait.
    """

    source: int
    target: int
    begun_mono_ns: int
    since_mono_ns: int


class Moves:
    """Moves under way, and those that wait for their turn."""

    def __init__(
        self, assigned: Assigned, outside: Surroundings, *, moves_per_s: int, confirm_ns: int
    ) -> None:
        self.under_way: dict[int, Moving] = {}
        self._waiting: deque[Move] = deque()
        self._assigned = assigned
        self._outside = outside
        self._pacer = MovePacer(moves_per_s)
        self._confirm_ns = confirm_ns

    @property
    def waiting(self) -> int:
        """How many moves wait for their turn."""
        return len(self._waiting)

    @property
    def targets(self) -> dict[int, int]:
        """Where each instrument under way goes."""
        return {token: moving.target for token, moving in self.under_way.items()}

    def replace_waiting(self, moves: Iterable[Move]) -> int:
        """Plan these moves instead of those that wait; return how many they are."""
        self._waiting = deque(moves)
        return len(self._waiting)

    def adopt(self, moving: Mapping[int, tuple[int, int]], now_ns: int) -> None:
        """Go on with moves that a control process before this one began.

        When, is not known; but each began after its source had had its first packet. One whose
        source has none on its present socket has to be confirmed once more.
        """
        by_source: dict[int, list[int]] = {}
        for token, (source, _) in moving.items():
            by_source.setdefault(source, []).append(token)
        for source, tokens in by_source.items():
            rows = self._assigned.links[source].rows
            slots = [rows[token].slot for token in tokens]
            times = self._outside.first_packets(source, tokens, slots)
            for token, first_ns in zip(tokens, times, strict=True):
                begun_ns = first_ns + 1 if first_ns else now_ns
                self.under_way[token] = Moving(source, moving[token][1], begun_ns, now_ns)

    def drop(self, token: int) -> None:
        """Forget a move: nobody wants the instrument any more."""
        self.under_way.pop(token, None)

    def leave(self, source: Link) -> None:
        """Have the targets own what is under way from a connection that closes."""
        for token, moving in list(self.under_way.items()):
            if moving.source != source.number:
                continue
            del self.under_way[token]
            target = self._assigned.links.get(moving.target)
            if target is not None and token in target.rows:
                self._assigned.pass_on(token, source.number, target.number)
                self._assigned.counters.moves_done += 1

    def begin_some(self, desired: Mapping[int, Want], now_ns: int) -> None:
        """Begin as many as may begin now; those that make no sense any more are passed over."""
        if not self._waiting:
            return
        later = self._set_aside()
        for _ in range(self._pacer.take(now_ns, len(self._waiting))):
            move = self._waiting.popleft()
            if self._is_sensible(move, desired):
                self.begin(move, desired[move.token], now_ns)
        self._waiting.extend(later)

    def _set_aside(self) -> list[Move]:
        """Take out what would leave its source for a target that is not up yet, or may never be.

        Between decoders an instrument ticks nowhere until its target is there.
        """
        links = self._assigned.links
        coming = {n for n, link in links.items() if link.takes_more and not link.is_healthy}
        later = [m for m in self._waiting if m.break_before_make and m.target in coming]
        if later:
            aside = set(later)
            self._waiting = deque(move for move in self._waiting if move not in aside)
        return later

    def _is_sensible(self, move: Move, desired: Mapping[int, Want]) -> bool:
        links = self._assigned.links
        target = links.get(move.target)
        return (
            move.token in desired
            and move.token not in self.under_way
            and self._assigned.placement.get(move.token) == move.source
            and target is not None
            and target.takes_more
            and move.token not in target.rows
            and self._assigned.room(target) > 0
            and self._assigned.has_slot(move.token, target)
        )

    def begin(self, move: Move, want: Want, now_ns: int) -> None:
        """Assign an instrument to its target, too; or, between decoders, leave the source first."""
        assigned = self._assigned
        source, target = assigned.links[move.source], assigned.links[move.target]
        if move.break_before_make:
            assigned.unassign(move.token, source)
            assigned.placement[move.token] = target.number
            assigned.counters.moves_broken += 1
        else:
            self.under_way[move.token] = Moving(source.number, target.number, now_ns, now_ns)
            assigned.counters.moves_begun += 1
        assigned.assign(move.token, want.mode, target)

    def finish(self, now_ns: int) -> None:
        """Flip the owner of whatever has arrived; give up what has not in time."""
        links = self._assigned.links
        by_target: dict[int, list[int]] = {}
        for token, moving in list(self.under_way.items()):
            target = links.get(moving.target)
            if target is not None and token in target.rows:
                by_target.setdefault(moving.target, []).append(token)
            else:
                del self.under_way[token]  # the target was closed; the source never let go
        for number, tokens in by_target.items():
            target = links[number]
            slots = [target.rows[token].slot for token in tokens]
            times = self._outside.first_packets(number, tokens, slots)
            # After those times were read: what comes to a source from now on, its target gets, too.
            sources = {self.under_way[token].source for token in tokens}
            silent = {number for number in sources if self._is_silent(number, now_ns)}
            for token, first_ns in zip(tokens, times, strict=True):
                self._judge(token, target, first_ns, now_ns, silent)

    def begin_now(self, moves: Sequence[Move], desired: Mapping[int, Want], now_ns: int) -> None:
        """Begin as many of these as may begin now, before those that wait; forget the rest."""
        for move in moves[: self._pacer.take(now_ns, len(moves))]:
            self.begin(move, desired[move.token], now_ns)

    def is_past(self, source: int, first_ns: int, now_ns: int) -> bool:
        """Whether all that a source had when its target began is decoded."""
        if self._outside.decoded_until(source) >= first_ns + LINGER_NS:
            return True
        return now_ns - first_ns >= LINGER_NS_MAX and not self._outside.has_backlog(source)

    def _is_silent(self, source: int, now_ns: int) -> bool:
        """Whether a source receives nothing, and all that it had is decoded.

        Its decoder may be dead for as long as another one waits for its turn to be started.
        """
        is_open_now = is_open(self._outside.report(source), now_ns)
        return not is_open_now and not self._outside.has_backlog(source)

    def _judge(
        self, token: int, target: Link, first_ns: int, now_ns: int, silent: Collection[int]
    ) -> None:
        moving = self.under_way[token]
        is_silent = moving.source in silent
        has_come = first_ns >= moving.begun_mono_ns
        is_late = now_ns - moving.since_mono_ns >= self._confirm_ns
        if has_come:
            if not is_silent and not self.is_past(moving.source, first_ns, now_ns):
                return
            loser = moving.source
        elif target.is_down:
            loser = target.number
        elif is_late:
            # Without a first packet the source goes on carrying it, if it carries anything.
            loser = moving.source if is_silent else target.number
        else:
            return
        # A target that fails before the flip may have ticked where the source has not yet: what it
        # had last is where a gap begins.
        self._end(token, moving, loser, goes_on=has_come)

    def _end(self, token: int, moving: Moving, loser: int, *, goes_on: bool) -> None:
        del self.under_way[token]
        if loser == moving.source:
            self._assigned.pass_on(token, moving.source, moving.target)
            self._assigned.counters.moves_done += 1
        else:
            self._assigned.counters.moves_failed += 1
        link = self._assigned.links.get(loser)
        if link is not None and token in link.rows:
            self._assigned.unassign(token, link, goes_on=goes_on)
