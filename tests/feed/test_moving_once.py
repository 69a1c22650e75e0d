"""Once: two connections deliver the same instruments, decoders die, and each tick comes once.

Full packets, unconflated: the new connection has every packet from some point on, the old one all
of them, and their rings are decoded in any interleaving. Then the same with kill -9 at the crash
points of the checked build, where any packets come, against the model.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.feed.lane_rig import TOKENS
from tests.feed.moving import KINDS, MOVE_AND_DIE, Content, Move
from tests.feed.test_decoder_crashes import (
    DECODING,
    KILLED,
    OPENING,
    Killer,
)

OLD, NEW = 0, 1
SLOW = (HealthCheck.too_slow,)
STEPS = st.lists(st.sampled_from(["old", "new", "new", "run", "die"]), max_size=50)


@st.composite
def histories(draw: st.DrawFn) -> list[Content]:
    """An instrument's packets: trades, and changes of the book that nothing else tells of."""
    history, time, book = [], 1, 0
    for _ in range(draw(st.integers(2, 24))):
        if draw(st.booleans()):
            time += 1
        else:
            book += 1
        history.append(Content("full", time=time // 2, volume=time, trade_time=time, book=book))
    return history


def delivered(move: Move) -> list[list[tuple[int, int, int]]]:
    """Return what tells one packet of a history from another, of each connection's ticks."""
    found = []
    for rig in move.rigs:
        ticks = rig.ticks()
        columns = (ticks["volume_traded"], ticks["bid_quantity"][:, 0], ticks["exchange_ts_ns"])
        found.append(list(zip(*(column.tolist() for column in columns), strict=True)))
    return found


def told(content: Content) -> tuple[int, int, int]:
    return content.volume, 5 + content.book, content.time * 10**9


@given(steps=STEPS, history=histories(), begin=st.integers(0, 24))
@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
def test_each_packet_is_delivered_once_however_they_interleave(
    steps: list[str], history: list[Content], begin: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    move = Move(tmp_path_factory.mktemp("move"))
    began = history[begin % len(history) :]
    move.assign(NEW, 0)
    play(move, steps, {OLD: history[:], NEW: began[:]})
    move.unassign(OLD, 0)
    move.run()
    streams = delivered(move)
    assert Counter([*streams[OLD], *streams[NEW]]) == Counter(told(c) for c in history)
    for stream in streams:
        assert stream == sorted(stream)
    newest = move.rigs[OLD].latest(TOKENS[0])
    assert int(newest["volume_traded"]) == history[-1].volume
    dropped = sum(rig.counters()["packets_repeated"] for rig in move.rigs)
    assert dropped == len(began)


@given(
    steps=STEPS,
    history=histories(),
    kept=st.tuples(*[st.lists(st.booleans(), min_size=24, max_size=24)] * 2),
)
@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
def test_what_each_conflates_alone_comes_once_and_ends_with_the_newest(
    steps: list[str],
    history: list[Content],
    kept: tuple[list[bool], list[bool]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    move = Move(tmp_path_factory.mktemp("move"))
    move.assign(NEW, 0)
    waiting = {
        c: [p for p, keep in zip(history, kept[c], strict=False) if keep] for c in (OLD, NEW)
    }
    sent = [*waiting[OLD], *waiting[NEW]]
    play(move, steps, waiting)
    streams = delivered(move)
    counts = Counter([*streams[OLD], *streams[NEW]])
    assert set(counts.values()) <= {1}
    assert set(counts) <= {told(c) for c in sent}
    if sent:
        newest = max(c.volume for c in sent)
        assert {told(c) for c in sent if c.volume == newest} <= set(counts)
        assert int(move.rigs[OLD].latest(TOKENS[0])["volume_traded"]) == newest


def play(move: Move, steps: list[str], waiting: dict[int, list[Content]]) -> None:
    """Send what waits in the order of the steps, then what is left, and decode it."""
    for step in [*steps, *["old", "new"] * 24, "run"]:
        if step in ("run", "die"):
            getattr(move, step)()
            continue
        connection = OLD if step == "old" else NEW
        if waiting[connection]:
            move.send(connection, waiting[connection].pop(0))


# ---- deaths --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    killer = Killer(MOVE_AND_DIE)
    yield killer
    killer.close()


def newer(number: int) -> Content:
    return Content("full", time=number, volume=number, trade_time=number)


def any_content(rng: random.Random, time: int) -> Content:
    """Mostly full packets that go on; some go back, some are of other kinds."""
    kind = "full" if rng.random() < 0.6 else rng.choice(KINDS)
    time = max(0, time - rng.choice((0, 0, 0, 1, 2)))
    return Content(
        kind, time=time // 2, volume=time, trade_time=time, price=time % 7, book=rng.randrange(3),
        token=rng.randrange(2),
    )  # fmt: skip


def move_and_die(move: Move, killer: Killer, rng: random.Random, *, rounds: int) -> int:
    """Do random steps with a death in each round; return how many deaths there were."""
    deaths = 0
    for number in range(rounds):
        step = rng.random()
        if step < 0.4:
            change = rng.choice((move.assign, move.unassign))
            change(rng.randrange(2), rng.randrange(2))
        elif step < 0.5:
            move.reconnect(rng.randrange(2))
        for _ in range(rng.randrange(1, 8)):
            contents = [any_content(rng, 3 * number + n) for n in range(rng.randrange(1, 5))]
            for connection in rng.sample((OLD, NEW), rng.choice((1, 2, 2))):
                move.send(connection, *contents)
        plan = [(rng.choice(DECODING), rng.randrange(1, 12), "decoding")]
        if rng.random() < 0.3:
            plan = [("commit_after_flip", rng.randrange(1, 4), "decoding")]
            plan += [(rng.choice(OPENING), rng.randrange(1, 4), "opening")]
        print(f"round {number}: {plan}")
        codes = [move.run_and_die(partial(killer.die_at, move.rigs[OLD], *death)) for death in plan]
        assert set(codes) <= {KILLED, 0}
        deaths += codes.count(KILLED)
        move.die()
        move.run()
    return deaths


@pytest.mark.parametrize(
    ("connection", "number"), [(OLD, 2), (NEW, 3), (NEW, 5)], ids=["behind", "repeated", "news"]
)
@pytest.mark.parametrize("point", ["unit_after_recheck", "commit_after_flip", "tails_after_ticks"])
def test_a_death_around_the_commit_of_each_kind(
    connection: int, number: int, point: str, tmp_path: Path, killer: Killer
) -> None:
    """What is behind stays out of the latest table, and what is repeated confirms, all the same."""
    move = Move(tmp_path)
    move.assign(NEW, 0)
    move.send(OLD, newer(1))
    move.send(NEW, newer(4))
    move.run()
    if number == 3:
        move.send(OLD, newer(5))
        move.run()
        move.reconnect(NEW)
    move.send(connection, newer(4 if number == 3 else number))
    assert move.run_and_die(partial(killer.die_at, move.rigs[OLD], point, 1)) == KILLED
    move.die()
    move.run()
    assert int(move.rigs[OLD].latest(TOKENS[0])["volume_traded"]) == (4 if number == 2 else 5)


BEFORE_COMMIT = ["confirm_after_mode", "confirm_after_epoch", "commit_before_flip"]
BEFORE_COMMIT += ["commit_inside_copy", "commit_after_copy"]


@pytest.mark.parametrize("reconnects", [False, True], ids=["same epoch", "new epoch"])
@pytest.mark.parametrize("point", BEFORE_COMMIT)
def test_what_was_confirmed_and_not_committed_moves_no_beginning(
    point: str, reconnects: bool, tmp_path: Path, killer: Killer
) -> None:
    """What is repeated is confirmed before its commit; a packet without order comes once still."""
    move = Move(tmp_path)
    move.assign(NEW, 0)
    one, two = Content("ltp", price=1), Content("ltp", price=2)
    quote = Content("quote", volume=1, price=2)
    for connection, content in ((OLD, one), (NEW, one), (OLD, two), (OLD, quote)):
        move.send(connection, content)
        move.run()
    if reconnects:
        move.reconnect(NEW)
    move.send(NEW, quote)
    assert move.run_and_die(partial(killer.die_at, move.rigs[OLD], point, 1)) == KILLED
    move.die()
    move.run()
    dropped = move.rigs[NEW].counters()["packets_repeated"]
    move.send(NEW, two)
    move.run()
    # The first of a new epoch may be news; that of the same one is what OLD has delivered.
    assert move.rigs[NEW].counters()["packets_repeated"] - dropped == int(not reconnects)


def test_what_was_committed_by_one_that_lets_go_comes_into_the_latest_table(
    tmp_path: Path, killer: Killer
) -> None:
    """The decoder dies between the commit and the tables, and its successor finds it let go."""
    move = Move(tmp_path)
    move.assign(NEW, 0)
    for connection, number in ((OLD, 1), (NEW, 1), (OLD, 2)):
        move.send(connection, newer(number))
        move.run()
    move.send(OLD, newer(3))
    death = partial(killer.die_at, move.rigs[OLD], "commit_after_flip", 1)
    assert move.run_and_die(death) == KILLED
    move.unassign(OLD, 0)
    move.die()
    move.run()
    assert int(move.rigs[OLD].latest(TOKENS[0])["volume_traded"]) == 3
    for number in (2, 3):
        move.send(NEW, newer(number))
    move.run()
    assert delivered(move)[NEW] == []


@pytest.mark.parametrize("seed", range(12))
def test_deaths_in_the_midst_of_a_move_leave_no_trace(
    seed: int, tmp_path: Path, killer: Killer
) -> None:
    move = Move(tmp_path)
    move.assign(NEW, 0)
    assert move_and_die(move, killer, random.Random(seed), rounds=10) > 0


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(1000, 1004))
def test_a_thousand_deaths_in_the_midst_of_moves(seed: int, tmp_path: Path, killer: Killer) -> None:
    deaths, rng = 0, random.Random(seed)
    for number in range(25):
        directory = tmp_path / str(number)
        directory.mkdir()
        move = Move(directory)
        move.assign(NEW, 0)
        deaths += move_and_die(move, killer, rng, rounds=20)
    assert deaths >= 250
