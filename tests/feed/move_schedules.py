"""All orders in which an instrument's move can come to pass, on the real lanes: one by one.

Two connections of one decoder, one instrument, unconflated full packets. The old connection sends
the states 1, 2, 3 ..., the new one the same from some state on. A schedule says in which order the
decoder gets at their frames, when the control process takes the instrument from the old connection
and changes rows of others, and between which of these steps no decoder lives. A frame is stamped
by its state, whenever it is decoded: that is how far a lane is behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ext.lanes import Decoder
from tests.feed.lane_rig import TOKENS, LaneRig
from tests.feed.moving import Content, Move

OLD, NEW = 0, 1
A_MS_NS = 1_000_000
#: From one state to the next; the new connection has each a little later.
STATE_NS = 10 * A_MS_NS
BEHIND_NS = A_MS_NS
#: In both tables, and does not move.
BYSTANDER = 0
KILLED = -9


class Schedule(NamedTuple):
    """`steps`: o and n, a frame of the old and of the new connection; c, the old one lets go; t
    and u, another row changes in the new and in the old one's table. `begins` is the new one's
    first state. From before step `dies` to before step `opens` no decoder lives; or, in `play`
    with a death, the decoder dies of step `dies`."""

    states: int
    begins: int
    steps: str
    dies: int
    opens: int


def schedules(states: int, changes: str, *, dead_max: int) -> Iterator[Schedule]:
    """Yield all in which no decoder is dead for more than `dead_max` steps."""
    for begins in range(1, states + 1):
        frames = "o" * states + "n" * (states - begins + 1)
        for steps in _orders(frames + changes):
            before = steps.partition("c")[0]
            if "n" not in before or before.count("o") < begins - 1:
                continue
            length = len(steps)
            for dies in range(length + 1):
                for opens in range(dies, min(length, dies + dead_max) + 1):
                    yield Schedule(states, begins, steps, dies, opens)


def _orders(letters: str) -> Iterator[str]:
    """Yield each order of the letters once."""
    if not letters:
        yield ""
    for letter in sorted(set(letters)):
        for rest in _orders(letters.replace(letter, "", 1)):
            yield letter + rest


class Schedules:
    """Two connections' segments, on which one schedule after the other is played."""

    def __init__(self, directory: Path, *, returns: bool = False) -> None:
        """Make the segments; with `returns` the new connection had each instrument before."""
        self._returns = returns
        shape = {"frame_records": 1024, "frame_bytes": 1 << 18, "tick_records": 1024}
        first = LaneRig(directory, **shape)
        self.rigs = (first, LaneRig(directory, connection=1, beside=first, **shape))
        self.instrument = BYSTANDER
        self._began_ns = first.now
        self._now_ns = first.now
        self._owner_epoch = 1
        self._base = 0
        self._rows: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._seen = [1, 1]

    def play(
        self, schedule: Schedule, die: Callable[[LaneRig], int] | None = None
    ) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Return the states that each connection delivered, in its order; 0 is of before.

        None if the old one would let go sooner than the control process has it: that is after the
        new one's first packet, and after all that was before it on the old one. `die` has another
        process decode what there is, and die of it.
        """
        self._begin()
        decoder = self._open()
        if self._returns:
            self._come_from_new(decoder)
        return self._go_through(schedule, decoder, die)

    def _go_through(
        self, schedule: Schedule, decoder: Decoder | None, die: Callable[[LaneRig], int] | None
    ) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        sent = {"o": 0, "n": schedule.begins - 1}
        for index, step in enumerate([*schedule.steps, ""]):
            if index == schedule.dies:
                decoder = None
            if index == schedule.opens and die is None:
                decoder = self._open()
                decoder.run(10**9, until_idle=True)
            if step == "c" and not self._may_let_go(schedule.begins - 1):
                self._finish(decoder)
                return None
            if step in sent:
                sent[step] += 1
                self._send("on".index(step), sent[step])
            elif step:
                self._change(step)
            if index == schedule.dies and die is not None:
                assert die(self.rigs[OLD]) in (0, KILLED)
            if index == schedule.opens and die is not None:
                decoder = self._open()
            if decoder is not None:
                decoder.run(10**9, until_idle=True)
        return self._finish(decoder)

    def _may_let_go(self, before: int) -> bool:
        token, row = TOKENS[self.instrument], self.rigs[NEW].confirmed()[self.instrument]
        assigned = self.rigs[NEW].assignment.read()[1]
        assigned = assigned[assigned["instrument_token"] == token]["assigned_mono_ns"]
        has_come = int(row["instrument_token"]) == token
        has_come = has_come and int(row["first_packet_mono_ns"]) >= int(assigned[0])
        return has_come and int(self.rigs[OLD].commit()["source_sequence"]) >= self._base + before

    def _finish(self, decoder: Decoder | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        (decoder or self._open()).run(10**9, until_idle=True)
        old, new = (self._delivered(rig) for rig in self.rigs)
        return old, new

    def _begin(self) -> None:
        """Take the next instrument, which both connections have, long after the one before it."""
        self.instrument = self.instrument + 1
        self._base = int(self.rigs[OLD].commit()["source_sequence"])
        self._began_ns = self._now_ns = self._now_ns + 3600 * 10**9
        for rows in self._rows:
            rows.clear()
            rows[TOKENS[BYSTANDER]] = 1
        self._give(OLD)
        self._give(NEW)

    def _come_from_new(self, decoder: Decoder) -> None:
        """Have the instrument move from the new connection, state 0, and back to it."""
        self._let_go(OLD)
        for connection in (NEW, OLD):
            self._give(connection)
            self._send(connection, 0)
            decoder.run(10**9, until_idle=True)
        self._base = int(self.rigs[OLD].commit()["source_sequence"])
        self._let_go(NEW)
        self._give(NEW)
        decoder.run(10**9, until_idle=True)

    def _let_go(self, connection: int) -> None:
        del self._rows[connection][TOKENS[self.instrument]]
        self._write(connection)

    def _give(self, connection: int) -> None:
        self._owner_epoch += 1
        self._rows[connection][TOKENS[self.instrument]] = self._owner_epoch
        self._write(connection)

    def _write(self, connection: int) -> None:
        self._now_ns += A_MS_NS
        rig, rows = self.rigs[connection], self._rows[connection]
        rig.now = self._now_ns
        rig.assign(list(rows), owner_epochs=list(rows.values()))

    def _change(self, step: str) -> None:
        if step == "c":
            self._let_go(OLD)
            return
        connection = "ut".index(step)
        self._owner_epoch += 1
        self._rows[connection][TOKENS[BYSTANDER]] = self._owner_epoch
        self._write(connection)

    def _send(self, connection: int, state: int) -> None:
        """Put a state's frame into a ring, stamped as it was received."""
        received_ns = self._began_ns + 100 * A_MS_NS + state * STATE_NS + connection * BEHIND_NS
        self._now_ns = max(self._now_ns, received_ns)
        content = Content(
            "full", time=1, volume=state, trade_time=1, price=state % 5, token=self.instrument
        )
        rig = self.rigs[connection]
        rig.now = received_ns - A_MS_NS
        rig.send(Move.frame(content))

    def _open(self) -> Decoder:
        decoder = self.rigs[OLD].decoder()[0]
        self.rigs[NEW].add_lane(decoder)
        return decoder

    def _delivered(self, rig: LaneRig) -> tuple[int, ...]:
        ticks = rig.ticks(self._seen[rig.connection])
        self._seen[rig.connection] += len(ticks)
        assert (ticks["instrument_token"] == TOKENS[self.instrument]).all()
        return tuple(ticks["volume_traded"].tolist())
