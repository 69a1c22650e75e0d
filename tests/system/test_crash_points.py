"""The whole main job on the checked build: every named crash point, with live traffic.

A decoder's death at any instruction loses, doubles and tears nothing, and no counter is off; a
feed's is an announced gap. Between two deaths the successors do their work as ever.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ext.lanes import crash_points
from pipeline.core.enums import SegmentKind, State
from pipeline.shm.pages import StatusPage
from pipeline.shm.segment import Segment
from pipeline.shm.tables import AssignmentTable
from tests.builds import build_root
from tests.system.judge import Witness, judge, run_dry
from tests.system.rig import Run, wait_for

Make = Callable[..., Run]

LOAD = 'rate = "max"\ninterval_s = 0.01'
RINGS = "packets_per_instrument_per_s = 100.0\ntick_records = 65536"
#: Hundreds of deaths within a minute are no crash loop here.
PATIENT = "[supervisor]\ncircuit_deaths = 1000\nrestart_backoff_s = [0.0]\n"

OF_FEED = [point for point in crash_points() if point.startswith("frame_")]
OF_CONFIRMING = [point for point in crash_points() if point.startswith("confirm_")]
OF_DECODER = [point for point in crash_points() if point not in OF_FEED + OF_CONFIRMING]
CONNECTIONS = 3
#: All of OF_CONFIRMING, this often, are fewer confirmations than a connection has instruments.
CONFIRMING_PASSAGE_MAX = 20


def deaths_of_decoders(passages: list[int]) -> Iterator[str]:
    """Yield what to ask for; points of the roll-forward need a death behind the flip before."""
    for passage in passages:
        for point in OF_DECODER:
            if point.startswith("forward"):
                yield "commit_after_flip 1"
                yield f"{point} 1"
            elif point.startswith("bell_") and point != "bell_after_ring":
                yield f"{point} 1"  # in the ring of the first lane that a successor opens
                yield f"{point} {CONNECTIONS + passage}"  # in one for a reader that sleeps
            else:
                yield f"{point} {passage}"


def restarts(run: Run, name: str) -> int:
    """Return how often a role was started again."""
    record = StatusPage(run.attach(SegmentKind.SUPERVISOR_STATUS)).record
    for row in record["processes"][: int(record["process_count"])]:
        if row["name"].tobytes().rstrip(b"\0") == name.encode():
            assert int(row["last_exit_code"]) in (0, -signal.SIGKILL)
            return int(row["restarts"])
    raise AssertionError(f"no process {name!r}")


def has_looked(run: Run, name: str) -> bool:
    """Whether the process that runs now is past asking where it shall die."""
    role, number = name.split()
    kind = SegmentKind.DECODER_STATUS if role == "decoder" else SegmentKind.FEED_STATUS
    head = StatusPage(run.attach(kind, int(number))).head
    is_live = int(head["state"]) in (State.LIVE, State.QUIET)
    is_own = int(head["state_since_mono_ns"]) >= int(head["started_mono_ns"])
    return is_live and is_own and int(head["pid"]) == run.pid(name)


def die(
    run: Run, name: str, file_name: str, lines: list[str],
    provoke: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Let one process after another die where its line says, and see that each did.

    `provoke` makes something to die of.
    """
    # One that has yet to look would take a line, and be killed instead of dying of it.
    wait_for(lambda: has_looked(run, name), f"{name} to be at work")
    request = run.paths.directory / file_name
    partial = request.with_suffix(".partial")
    partial.write_text("\n".join(lines))
    partial.replace(request)
    wanted = restarts(run, name) + 1 + len(lines)  # the first death only makes a process look
    run.kill(name)
    provoke()
    try:
        wait_for(lambda: restarts(run, name) == wanted, "every death", seconds=40 + len(lines))
    except AssertionError:
        print(f"restarts {restarts(run, name)}, expected {wanted}; not yet asked for:")
        print(request.read_text() if request.exists() else "none")
        raise


def assign_anew(run: Run, connection: int) -> None:
    """Give a connection what it has once more: its decoder confirms every instrument again."""
    path = run.paths.segment(SegmentKind.ASSIGNMENT, connection)
    table = AssignmentTable(Segment.attach(path, SegmentKind.ASSIGNMENT, writable=True))
    rows = table.read()[1]
    rows["owner_epoch"] += 1
    table.write(rows)


@pytest.fixture(scope="module")
def checked() -> Path:
    """Where the checked build lies."""
    return build_root("checked")


def visit(make_run: Make, checked: Path, passages: list[int]) -> None:
    """Let decoders die at every point, then a feed, and account for everything."""
    run = make_run(
        build=checked, simulator=LOAD, rings=RINGS, more=PATIENT, connections=CONNECTIONS
    )
    witness = Witness(run)
    run.start_and_wait()
    lines = list(deaths_of_decoders(passages))
    die(run, "decoder 0", "crash", lines)
    assert witness.told("Gap") == []
    rounds = [passage for passage in passages if passage <= CONFIRMING_PASSAGE_MAX]
    for passage in rounds:
        confirming = [f"{point} {passage}" for point in OF_CONFIRMING]
        die(run, "decoder 0", "crash", confirming, lambda: assign_anew(run, 0))
        lines += confirming
    frames = [f"{point} {passage}" for passage in passages for point in OF_FEED]
    die(run, "feed 0", "crash-feed-0", frames)
    for connection in range(CONNECTIONS):
        wait_for(lambda n=connection: run.is_complete(n), "the connection to be complete")  # type: ignore[misc]
    run_dry(run, witness)
    assert run.stop() == 0
    witness.finish()
    verdict = judge(run, witness)
    gaps = [len(witness.gap_reasons(connection)) for connection in range(CONNECTIONS)]
    assert 1 <= gaps[0] <= len(frames) + 1
    assert gaps[1:] == [0, 0] and witness.told("Overrun") == []
    print(f"{len(lines)} deaths of decoders, {len(frames)} of a feed in {gaps[0]} gaps")
    print(f"{verdict.sent:,} ticks sent, {verdict.lost:,} lost in those gaps")
    run.assert_nothing_left()


def test_a_death_at_every_point_is_accounted_for(make_run: Make, checked: Path) -> None:
    visit(make_run, checked, [1])


@pytest.mark.full
@pytest.mark.timeout(400)
def test_deaths_at_many_passages_are_accounted_for(make_run: Make, checked: Path) -> None:
    visit(make_run, checked, [1, 2, 3, 5, 10, 30, 100])
