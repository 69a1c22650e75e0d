"""The verdict on a run: the exchange's truth log against what a strategy process has logged.

Nothing that the pipeline counted is believed; its counters are only asked whether they add up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

import pipeline
from ext.simulate import encode_frame
from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Mode, Reason, SegmentKind
from pipeline.core.instruments import SEGMENT_INDICES
from pipeline.shm.owners import Holders
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.sim.control import ControlClient
from pipeline.sim.market import Listing
from pipeline.sim.role import CONTROL_NAME
from pipeline.sim.truth import read_truth
from pipeline.sim.verify import Verdict, gap_dtype, verify
from pipeline.supervisor.launch import launch
from tests.system.rig import DEADLINE_S, Run, wait_for
from tests.system.witness import content_of, row_dtype

Array = np.ndarray[Any, Any]


class Witness:
    """A strategy process of a run, and what it logged.

    One that is made before the run is started waits for it, and so sees everything. `owner`: it
    attaches as one of his.
    """

    def __init__(
        self, run: Run, name: str = "witness", *, pause_s: float = 0.0, owner: str = ""
    ) -> None:
        self.run = run
        self.owner = owner
        self.name = name
        self._base = run.folder / name
        with run.log.open("ab") as log:
            self.process: subprocess.Popen[bytes] = launch(
                ["-m", "tests.system.witness", run.paths.name, name, str(run.folder),
                 str(run.paths.root), str(pause_s), owner],
                stderr=log,
            )  # fmt: skip
        run.sessions.append(self.process.pid)
        run.strategies.append(self.process)
        if run.process is not None:
            wait_for(self.is_attached, f"{name} to attach")

    def is_attached(self) -> bool:
        """Whether it has made its page."""
        assert self.process.poll() is None, self.run.log.read_text()
        return self.page_path.exists()

    @property
    def page_path(self) -> Path:
        """Where its page lies."""
        return self.run.paths.readers / f"{self.name}.{self.process.pid}"

    def cursors(self) -> dict[int, int]:
        """Return how far it has read each connection: the next sequence."""
        record = StatusPage(Segment.attach(self.page_path, SegmentKind.READER)).record
        rows = record["cursors"][: int(record["cursor_count"])]
        return {int(row["connection"]): int(row["cursor"]) for row in rows}

    def has_read_all(self) -> bool:
        """Whether it is at the end of every connection's stream."""
        if not self.is_attached():
            return False
        cursors = self.cursors()
        return all(cursors.get(number) == self.run.tick_tail(number) for number in self.numbers())

    def numbers(self) -> list[int]:
        """Return the connections that there are for it."""
        holders = Holders(self.run.paths)
        return [n for n in self.run.numbers if self.owner in ("", holders.of(n).owner)]

    def finish(self) -> None:
        """Wait until it has ended with its instance."""
        assert self.process.wait(DEADLINE_S) == 0, self.run.log.read_text()
        assert self._base.with_suffix(".done").exists()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def rows(self) -> Array:
        """Return a row per tick: (n,) row_dtype, in the order of delivery."""
        data = self._base.with_suffix(".ticks").read_bytes()
        return np.frombuffer(
            data[: len(data) // row_dtype.itemsize * row_dtype.itemsize], row_dtype
        )

    def told(self, kind: str = "") -> list[dict[str, Any]]:
        """Return what it was told other than ticks."""
        lines = self._base.with_suffix(".told").read_text().splitlines()
        return [line for line in map(json.loads, lines) if kind in ("", line["kind"])]

    def gap_reasons(self, connection: int) -> list[Reason]:
        """Return why each gap of a connection was."""
        gaps = [gap for gap in self.told("Gap") if gap["instrument_token"] is None]
        return [Reason(gap["reason"]) for gap in gaps if gap["connection"] == connection]

    def announced(self) -> Array:
        """Return the times in which something was said to be lost on its way to the streams."""
        spans = self.told("Gap") + [o for o in self.told("Overrun") if o["stage"] == "decoder"]
        rows = [
            (
                s["connection"], s["start_ts_ns"], s["end_ts_ns"], s["kind"] == "Gap",
                s.get("instrument_token") or 0,
            )
            for s in spans
        ]  # fmt: skip
        return np.array(rows, gap_dtype)


def control_of(run: Run) -> ControlClient:
    """Return a connection to the exchange's control channel; the caller closes it."""
    return ControlClient(run.paths.directory / CONTROL_NAME, timeout_s=DEADLINE_S)


def run_dry(run: Run, *witnesses: Witness) -> None:
    """Let the exchange send no more data, and wait until all of it has arrived everywhere."""
    with control_of(run) as control:

        def is_dry() -> bool:
            control.command("quiet", seconds=3600)  # also connections that were opened meanwhile
            clients = control.command("stat")["clients"]
            before = [run.tick_tail(number) for number in run.numbers]
            time.sleep(0.1)  # longer than bytes stay in a socket that is read
            return (
                not any(client["pending_bytes"] for client in clients if client["open"])
                and run.has_decoded_all()
                and before == [run.tick_tail(number) for number in run.numbers]
                and all(witness.has_read_all() for witness in witnesses)
            )

        wait_for(is_dry, "everything to arrive")


def assert_contiguous(rows: Array, told: list[dict[str, Any]]) -> None:
    """Every tick sequence is the last one plus 1, but for exactly what the reader was told."""
    for connection in np.unique(rows["connection"]):
        sequences = rows["tick_sequence"][rows["connection"] == connection].astype(np.int64)
        breaks = np.flatnonzero(np.diff(sequences) != 1)
        found = {
            (int(sequences[at]) + 1, int(sequences[at + 1] - sequences[at] - 1)) for at in breaks
        }
        if sequences[0] != 1:
            found.add((1, int(sequences[0]) - 1))
        announced = {
            (o["first_sequence"], o["lost"])
            for o in told
            if o["kind"] == "Overrun" and o["stage"] == "reader" and o["connection"] == connection
        }
        assert _merged(found) == _merged(announced), f"connection {connection}"


def _merged(spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, count in sorted(spans):
        if merged and sum(merged[-1]) == first:
            merged[-1] = (merged[-1][0], merged[-1][1] + count)
        else:
            merged.append((first, count))
    return merged


def count_torn(rows: Array, *, instruments: int, seed: int = 1) -> int:
    """Return how many ticks do not hold what the exchange's instrument held at that state.

    The n-th state of an instrument follows from seed, token and n, so every field but the clock's
    is known beforehand. Good for logs in which no instrument skips 4,096 states.
    """
    listing = Listing(instruments, seed=seed, now_s=0)
    everything = np.arange(instruments, dtype=np.uint32)
    states = _whole_sequences(rows)
    order = np.argsort(states, kind="stable")
    torn, state, at = 0, 1, 0
    while at < len(order):
        wanted = int(states[order[at]])
        while state < wanted:
            listing.market.advance(everything, now_s=0)
            state += 1
        end = at + int(np.searchsorted(states[order[at:]], wanted, "right"))
        same = rows[order[at:end]]
        torn += int(np.count_nonzero(_expected_content(listing, same) != same["content"]))
        at = end
    return torn


def _expected_content(listing: Listing, rows: Array) -> Array:
    pairs = zip(rows["instrument_token"].tolist(), rows["mode"].tolist(), strict=True)
    bodies = [listing.market.packet(listing.positions[token], mode) for token, mode in pairs]
    found = [
        content_of(pipeline.decode_frame("kite", encode_frame(bodies[first : first + 4096])))
        for first in range(0, len(bodies), 4096)
    ]
    return np.concatenate(found)


def _whole_sequences(rows: Array) -> Array:
    """Return each row's whole sequence, where it carries only 12 bits of it by counting on."""
    whole = rows["sequence"].astype(np.int64)
    bare = (rows["mode"] == Mode.LTP) | (rows["instrument_token"] & 0xFF == SEGMENT_INDICES)
    for token in np.unique(rows["instrument_token"][bare]):
        of_token = np.flatnonzero(bare & (rows["instrument_token"] == token))
        low = whole[of_token]
        whole[of_token] = low[0] + np.concatenate(([0], np.cumsum(np.diff(low) & 0xFFF)))
    return whole


def truth_of(run: Run, connections: Collection[int] | None = None) -> Array:
    """Return the exchange's log, of these connections if not of all."""
    truth = np.array(read_truth(run.folder / "truth.bin"))
    assert np.all(truth["connection"] >= 0), "a session that did not name its connection"
    return truth if connections is None else truth[np.isin(truth["connection"], list(connections))]


def judge(
    run: Run, witness: Witness, *, seed: int = 1, connections: Collection[int] | None = None
) -> Verdict:
    """Compare the exchange's log with a witness's; fail unless every tick is accounted for.

    Nothing is doubled, made up, torn or out of order, and what is lost was announced; everything
    that was ever sent is due, so the run has to be dry before it ends. `seed`: the exchange's;
    `connections`: those whose ticks are the witness's, all without.
    """
    rows, truth = witness.rows(), truth_of(run, connections)
    assert_contiguous(rows, witness.told())
    verdict = verify(truth, rows, witness.announced())
    assert verdict.sent > 0 and verdict.passed, verdict
    assert count_torn(rows, instruments=run.instruments, seed=seed) == 0
    return verdict


#: So long after an instrument has left a connection, its packets there are no surprise.
GRACE_NS: Final = 2 * NS_PER_S


@dataclass
class Handovers:
    """Packets that did not come from the connection they were sent on, and need not have."""

    elsewhere: int  # the same state of the instrument came from another connection
    superseded: int  # a later state came from another before, the last ones of the move's source


def judge_moves(
    run: Run, witness: Witness, *, seed: int = 1, connections: Collection[int] | None = None
) -> tuple[Verdict, Handovers]:
    """As `judge`, of a run in which instruments moved between connections.

    Every state of an instrument that was sent on any connection has to arrive once at least, from
    whichever, or lie in a gap. There is one exception, of at most GRACE_NS: what the source of a
    move, itself alive, still had in flight when the target's first packet, with a later state,
    arrived. Good for instruments and modes that carry their whole sequence.
    """
    rows, truth = witness.rows(), truth_of(run, connections)
    assert_contiguous(rows, witness.told())
    elsewhere = came_elsewhere(truth, rows)
    superseded = np.zeros(len(truth), bool)
    verdict = verify(truth[~elsewhere], rows, witness.announced())
    if verdict.lost_outside_gaps:
        superseded = were_superseded(truth, rows)
        verdict = verify(truth[~(elsewhere | superseded)], rows, witness.announced())
    assert verdict.sent > 0 and verdict.passed, verdict
    assert count_torn(rows, instruments=run.instruments, seed=seed) == 0
    return verdict, Handovers(int(elsewhere.sum()), int(superseded.sum()))


def came_elsewhere(truth: Array, rows: Array) -> Array:
    """Return which packets came, with all they held, from another connection alone: (n,) bool."""
    assert not np.any((truth["mode"] == Mode.LTP) | _is_index(truth)), "no whole sequences"
    found = np.zeros(len(truth), bool)
    for connection in np.unique(truth["connection"]):
        for mode in (Mode.QUOTE, Mode.FULL):
            mine = (truth["connection"] == connection) & (truth["mode"] == mode)
            same = rows[(rows["connection"] == connection) & (rows["mode"] == mode)]
            others = rows[(rows["connection"] != connection) & (rows["mode"] >= mode)]
            states = _states(truth[mine])
            found[mine] = ~np.isin(states, _states(same)) & np.isin(states, _states(others))
    return found


def were_superseded(truth: Array, rows: Array) -> Array:
    """Return which packets were the last of an instrument that had just moved: (n,) bool."""
    found = np.zeros(len(truth), bool)
    for at in np.flatnonzero(~np.isin(_states(truth), _states(rows))):
        found[at] = _is_superseded(truth, rows, truth[at])
    return found


def _is_superseded(truth: Array, rows: Array, packet: Any) -> bool:
    of_token = truth[truth["instrument_token"] == packet["instrument_token"]]
    others = of_token[of_token["connection"] != packet["connection"]]
    if np.any(others["sequence"] == packet["sequence"]):
        return False  # the target had begun: it should have brought it
    others = others[others["sequence"] > packet["sequence"]]
    came = rows[rows["instrument_token"] == packet["instrument_token"]]
    others = others[np.isin(_sent(others), _sent(came))]
    if not len(others):
        return False
    first_ns = int(others["send_ts_ns"].min())
    session = truth[truth["session"] == packet["session"]]
    was_alive = bool(np.any(session["send_ts_ns"] > first_ns))
    own = came[came["connection"] == packet["connection"]]
    went_on = np.any(
        (own["sequence"] > packet["sequence"])
        & (own["receive_ts_ns"] <= int(packet["send_ts_ns"]) + GRACE_NS)
    )
    is_near = abs(first_ns - int(packet["send_ts_ns"])) <= GRACE_NS
    return was_alive and is_near and not went_on


def _is_index(rows: Array) -> Array:
    found: Array = rows["instrument_token"] & 0xFF == SEGMENT_INDICES
    return found


def _states(rows: Array) -> Array:
    """Return a number per state of an instrument: (n,) u8."""
    found: Array = rows["instrument_token"].astype(np.uint64) << 32
    return found | rows["sequence"].astype(np.uint64)


def _sent(rows: Array) -> Array:
    """Return a number per state and connection it was sent on: (n,) u8."""
    assert len(rows) == 0 or int(rows["sequence"].max()) < 1 << 24
    return _states(rows) | rows["connection"].astype(np.uint64) << 24
