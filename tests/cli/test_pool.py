"""`pool` and `sub`: what they ask for, what they show, and in how many columns."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from pipeline.cli import main
from pipeline.cli.control import NoPool, control_of
from pipeline.cli.pool_view import (
    clients_table,
    health_view,
    refusals,
    stats_view,
    subscriptions_table,
)
from pipeline.core.control import Act, Hello, Subscribe
from pipeline.core.enums import SegmentKind
from pipeline.core.errors import InstanceNotFound
from pipeline.shm.instance import ManifestEntry
from tests.cli.pool_documents import CLIENTS, HEALTH, STATS, SUBSCRIPTIONS
from tests.strategy.fake_control import FakeControl
from tests.strategy.writer import FakeInstance


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[FakeInstance]:
    made = FakeInstance("demo", tmp_path)
    yield made
    if not made.ended:
        made.end()


@pytest.fixture
def pool(instance: FakeInstance) -> Iterator[FakeControl]:
    """A control process of an instance called demo."""
    instance.entries.append(ManifestEntry(SegmentKind.CONTROL_STATUS, 0))
    instance.publish()
    with FakeControl(instance.paths.control_socket, capacity=4) as running:
        running.documents = {
            "stats": STATS, "health": HEALTH, "subscriptions": SUBSCRIPTIONS, "clients": CLIENTS,
        }  # fmt: skip
        yield running


def run(instance: FakeInstance, *words: str) -> int:
    return main.run([*words, "--shm-directory", str(instance.paths.root)])


def text_of(view: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


# ---- sub ------------------------------------------------------------------------------------


def test_what_is_added_by_hand_stays(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(instance, "sub", "add", "demo", "408065", "NSE:256265", "--mode", "full") == 0
    assert capsys.readouterr().out == "2 of 2 instruments subscribed\n"
    assert run(instance, "sub", "add", "demo", "408065", "--priority", "hot") == 0
    assert "1 of them already" in capsys.readouterr().out
    assert pool.of("cli") == {408065: "quote", 256265: "full"}
    hello = pool.heard[0][1]
    assert (hello.client, hello.durable) == ("cli", True)  # type: ignore[union-attr]
    assert pool.asked(Subscribe)[-1].priority == "hot"
    assert run(instance, "sub", "mode", "demo", "ltp", "408065") == 0
    assert run(instance, "sub", "rm", "demo", "NSE:256265", "7") == 0
    assert "1 of 2 instruments are given up" in capsys.readouterr().out
    assert pool.of("cli") == {408065: "ltp"}
    assert run(instance, "sub", "rm", "demo", "--all") == 0
    assert pool.of("cli") == {}


def test_an_owner_is_said_with_hello(instance: FakeInstance, pool: FakeControl) -> None:
    for words in (
        ("sub", "add", "demo", "1"), ("sub", "mode", "demo", "ltp", "1"),
        ("sub", "rm", "demo", "1"), ("sub", "list", "demo"), ("sub", "clients", "demo"),
        ("pool", "stats", "demo"), ("pool", "plan", "demo", "1"), ("pool", "rebalance", "demo"),
        ("pool", "scale", "demo", "2"),
    ):  # fmt: skip
        assert run(instance, *words, "--owner", "bob") == 0, words
        assert pool.asked(Hello)[-1].owner == "bob"
    assert run(instance, "sub", "list", "demo") == 0
    assert pool.asked(Hello)[-1].owner is None


def test_whose_a_row_is_stands_there_if_it_is_not_the_same_for_all() -> None:
    for rows, view in ((SUBSCRIPTIONS, subscriptions_table), (CLIENTS, clients_table)):
        assert "owner" not in text_of(view([{**row, "owner": "bob"} for row in rows]))
        several = [{**row, "owner": owner} for row in rows for owner in ("alice", "bob")]
        assert {"owner", "alice", "bob"} <= set(text_of(view(several)).split())


def test_instruments_from_standard_input(
    instance: FakeInstance, pool: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "1 2\nNSE:3  # three\n\n# nothing\nNSE:4 NSE:5\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    pool.capacity = 9
    assert run(instance, "sub", "add", "demo", "-") == 0
    assert pool.of("cli") == dict.fromkeys(range(1, 6), "quote")
    monkeypatch.setattr("sys.stdin", io.StringIO("NSE:NIFTY 50\n7 NSE:#8 NSE:NIFTY MID 9\n"))
    assert run(instance, "sub", "add", "demo", "-") == 2
    assert pool.asked(Subscribe)[-1].instruments == ["NSE:NIFTY 50", 7, "NSE:#8", "NSE:NIFTY MID 9"]


def test_refusals_are_sentences_and_exit_codes(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(instance, "sub", "add", "demo", "1", "2", "3", "4", "5") == 1
    assert capsys.readouterr().err == "full\n"
    assert run(instance, "sub", "add", "demo", "1", "2", "3", "4", "5", "--partial") == 1
    assert capsys.readouterr().out == "4 of 5 instruments subscribed\nrefused, full: 5\n"
    assert run(instance, "sub", "add", "demo", "NSE:INFI") == 2
    assert "NSE:INFI" in capsys.readouterr().err
    for words in (
        ("add", "demo", "1", "--mode", "FULL"), ("add", "demo", "0"), ("rm", "demo"),
        ("rm", "demo", "1", "--all"), ("mode", "demo", "depth", "1"),
    ):  # fmt: skip
        assert run(instance, "sub", *words) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines


def test_refusals_are_documents_for_programs(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(instance, "sub", "add", "demo", "1", "2", "3", "4", "5", "--json") == 1
    problem = json.loads(capsys.readouterr().out)["problem"]
    assert (problem["code"], problem["requested"], problem["accepted"]) == ("capacity", 5, 0)
    assert run(instance, "sub", "add", "demo", "NSE:INFI", "--json") == 2
    problem = json.loads(capsys.readouterr().out)["problem"]
    assert problem["unknown"] == {"NSE:INFI": ["NSE:408065"]}
    del pool.documents["stats"]
    assert run(instance, "pool", "stats", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {
        "problem": {"code": "not_found", "text": "no stats here"}
    }


def test_names_to_give_up_that_nobody_knows_are_told(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(instance, "sub", "add", "demo", "1") == 0
    assert run(instance, "sub", "rm", "demo", "1", "NSE:INFI") == 1
    assert "1 of 1 instruments are given up\nno NSE:INFI\n" in capsys.readouterr().out


def test_lists(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(instance, "sub", "list") == 0
    text = capsys.readouterr().out
    assert "c1 and c11 to c2" in text and "nowhere: capacity" in text and "and 2 more" in text
    assert run(instance, "sub", "list", "demo", "--json") == 0
    assert json.loads(capsys.readouterr().out) == SUBSCRIPTIONS
    assert "c3, which is down" in text
    assert run(instance, "sub", "list", "--orphaned") == 0
    text = capsys.readouterr().out
    assert "nowhere: capacity" in text and "c3, which is down" in text and "408065" not in text
    assert run(instance, "sub", "list", "--orphaned", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["instrument_token"] for row in rows] == [4, 6]
    pool.documents["subscriptions"] = SUBSCRIPTIONS[:1] * 60
    assert run(instance, "sub", "list", "--orphaned") == 0
    assert capsys.readouterr().out == "nothing is orphaned\n"
    assert run(instance, "sub", "list") == 0
    assert "60 wanted, 50 shown" in capsys.readouterr().out
    assert run(instance, "sub", "list", "--all") == 0
    assert capsys.readouterr().out.count("408065") == 60
    pool.documents["subscriptions"] = []
    assert run(instance, "sub", "list") == 0
    assert capsys.readouterr().out == "nothing is wanted\n"
    assert run(instance, "sub", "clients") == 0
    assert "durable" in capsys.readouterr().out


# ---- pool -----------------------------------------------------------------------------------


def test_stats_and_health(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(instance, "pool", "stats") == 0
    text = capsys.readouterr().out
    for part in ("desired 1,503", "primary", "88 healthy", "RECONNECTING", "c11", "it failed"):
        assert part in text
    assert run(instance, "pool", "stats", "demo", "--json") == 0
    assert json.loads(capsys.readouterr().out) == STATS
    pool.documents["stats"] = STATS["accounts"]["primary"]
    assert run(instance, "pool", "stats", "--account", "primary") == 0
    assert "primary" in capsys.readouterr().out
    assert run(instance, "pool", "health") == 0
    text = capsys.readouterr().out
    assert "degraded  71 of 100" in text and "liveness -50, reconnects -10, ring -18" in text
    assert "! high connection_down: connection 2 is down" in text
    assert run(instance, "pool", "health", "--check", "--json") == 1
    assert json.loads(capsys.readouterr().out) == HEALTH


def test_a_question_that_is_refused(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.documents.clear()
    assert run(instance, "pool", "stats", "--account", "nobody") == 1
    assert capsys.readouterr().err == "no stats here\n"


def test_actions(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ("rebalance",), ("rebalance", "demo", "--dry-run"), ("scale", "demo", "3"),
        ("scale", "demo", "auto"), ("recycle", "demo", "1"),
        ("drain", "demo", "2", "--json"), ("plan", "demo"), ("recycle", "demo", "--account", "b"),
    ):  # fmt: skip
        assert run(instance, "pool", *words) == 0
    assert [
        (act.action, act.connection, act.connections, act.dry_run) for act in pool.asked(Act)
    ] == [
        ("rebalance", None, None, False), ("rebalance", None, None, True),
        ("scale", None, 3, False), ("scale", None, "auto", False), ("recycle", 1, None, False),
        ("drain", 2, None, False),
        ("rebalance", None, None, True), ("recycle", None, None, False),
    ]  # fmt: skip
    assert pool.asked(Act)[-1].account == "b"
    assert run(instance, "pool", "recycle", "demo") == 2
    assert run(instance, "pool", "recycle", "demo", "1", "--account", "b") == 2
    text = capsys.readouterr().out
    assert "  3 from connection 0 to 1\n" in text and "this was a dry run" in text


@pytest.mark.parametrize("word", ["-1", "many", "3.0", "AUTO", "٣", "9" * 5000, ""])
def test_a_number_of_connections_that_is_none(
    instance: FakeInstance, pool: FakeControl, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(instance, "pool", "scale", "--", "demo", word) == 2
    assert pool.asked(Act) == [] and capsys.readouterr().err


def test_a_plan_changes_nothing(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(instance, "pool", "plan", "demo", "1", "2", "--mode", "ltp") == 0
    text = capsys.readouterr().out
    assert "2 of 2 instruments would be subscribed" in text
    assert "2 on a new connection of account main" in text
    assert "mirrored: 1 on connection 3\n1 have no room for a mirror" in text
    assert pool.ledger == {}


# ---- without a pool -------------------------------------------------------------------------


def test_an_instance_without_a_pool(
    instance: FakeInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(instance, "pool", "stats", "demo") == NoPool.exit_code == 2
    error = capsys.readouterr().err
    assert "has no [pool]" in error and len(error.splitlines()) == 1
    with pytest.raises(InstanceNotFound), control_of("other", instance.paths.root):
        pass


def test_a_control_process_that_is_away(
    instance: FakeInstance,
    pool: FakeControl,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool.die()
    monkeypatch.setattr("pipeline.cli.control.START_S", 0.1)
    assert run(instance, "pool", "stats") == 75
    assert "does not listen" in capsys.readouterr().err


def test_a_control_process_that_is_starting_is_waited_for(
    instance: FakeInstance, pool: FakeControl, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.die()
    timer = threading.Timer(0.2, pool.begin)
    timer.start()
    assert run(instance, "pool", "stats") == 0
    timer.join()


# ---- terminals ------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 50, 60, 70, 80, 200])
def test_what_is_shown_fits_the_terminal(width: int) -> None:
    views = (
        stats_view(STATS["accounts"], STATS["pool"], width), health_view(HEALTH),
        subscriptions_table(SUBSCRIPTIONS, width), clients_table(CLIENTS, width),
    )  # fmt: skip
    for view in views:
        lines = text_of(view, width).splitlines()
        assert max(map(len, lines)) <= width
        if width >= 50:
            assert "…" not in "".join(lines), lines


def test_refusals_are_told_by_reason() -> None:
    refused = [{"instrument": n, "text": "full"} for n in range(7)]
    refused.append({"instrument": 99, "text": "not subscribed"})
    assert list(refusals(refused, 20)) == [
        "refused, full: 0, 1, 2, 3, 4, ...", "refused, not subscribed: 99",
        "20 were refused in all",
    ]  # fmt: skip


def test_two_commands_take_turns(instance: FakeInstance, pool: FakeControl) -> None:
    with control_of("demo", instance.paths.root, durable=True) as first:
        assert first.hello()["instance"] == "fake"
    pool.conflicts = 2
    with control_of("demo", instance.paths.root, durable=True) as second:
        second.request(Subscribe(instruments=[1]))
    assert pool.conflicts == 0
    with control_of("demo", instance.paths.root) as other:
        other.ask("stats")
    assert pool.heard[-1][0] == f"cli.{os.getpid()}"
