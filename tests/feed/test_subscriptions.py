"""The difference between what is wanted and what was told, under any history."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.brokers.registry import load_broker
from pipeline.core.enums import Mode
from pipeline.feed.subscriptions import Subscriptions
from tests.feed.stage import Stage

MODES = [Mode.LTP, Mode.QUOTE, Mode.FULL]
assignments = st.dictionaries(st.integers(1, 30), st.sampled_from(MODES), max_size=20)


class Server:
    """What a server would have subscribed after these commands."""

    def __init__(self) -> None:
        self.modes: dict[int, Mode] = {}

    def take(self, payload: str) -> None:
        command = json.loads(payload)
        if command["a"] == "subscribe":
            self.modes.update({token: Mode.QUOTE for token in command["v"]})
        elif command["a"] == "unsubscribe":
            for token in command["v"]:
                self.modes.pop(token, None)
        else:
            name, tokens = command["v"]
            assert set(tokens) <= set(self.modes), "a mode before its subscription"
            self.modes.update({token: Mode[name.upper()] for token in tokens})


def open_subscriptions(folder: Path) -> tuple[Stage, Subscriptions]:
    stage = Stage(folder, "ws://127.0.0.1:9")
    parts = stage.link_parts()
    segments = parts.segments
    session = load_broker("kite").session
    return stage, Subscriptions(session, segments.assignment, segments.wire, connection_epoch=4)


def test_a_new_connection_is_told_everything(tmp_path: Path) -> None:
    stage, subscriptions = open_subscriptions(tmp_path)
    assert stage.wire() == {}
    assert subscriptions.follow()
    assert not subscriptions.follow()
    server = Server()
    while (payload := subscriptions.next_command()) is not None:
        server.take(payload)
    assert server.modes == subscriptions.wanted == subscriptions.on_wire
    subscriptions.publish()
    assert stage.wire() == server.modes


def test_asking_again_never_subscribes_on_top(tmp_path: Path) -> None:
    _, subscriptions = open_subscriptions(tmp_path)
    subscriptions.follow()
    first = list(iter(subscriptions.next_command, None))
    wire = dict(subscriptions.on_wire)
    subscriptions.ask_again()
    let_go, *again = iter(subscriptions.next_command, None)
    assert let_go == '{"a":"unsubscribe","v":[408065,884737,256265]}'
    assert again == first and len(first) == 2
    assert subscriptions.on_wire == wire


def test_a_change_while_asking_again_starts_from_where_it_is(tmp_path: Path) -> None:
    stage, subscriptions = open_subscriptions(tmp_path)
    subscriptions.follow()
    list(iter(subscriptions.next_command, None))
    subscriptions.ask_again()
    subscriptions.next_command()
    assert subscriptions.on_wire == {}
    stage.assign({408065: Mode.LTP})
    assert subscriptions.follow()
    assert list(iter(subscriptions.next_command, None)) == [
        '{"a":"subscribe","v":[408065]}', '{"a":"mode","v":["ltp",[408065]]}',
    ]  # fmt: skip


def test_asking_for_modes_says_nothing_but_modes(tmp_path: Path) -> None:
    _, subscriptions = open_subscriptions(tmp_path)
    subscriptions.follow()
    list(iter(subscriptions.next_command, None))
    subscriptions.ask_for_modes([884737, 1])
    assert list(iter(subscriptions.next_command, None)) == ['{"a":"mode","v":["full",[884737]]}']


@settings(max_examples=30, deadline=None)
@given(history=st.lists(st.tuples(assignments, st.integers(0, 3)), max_size=6), last=assignments)
def test_the_server_ends_with_what_is_wanted(
    history: list[tuple[dict[int, Mode], int]], last: dict[int, Mode]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage, subscriptions = open_subscriptions(Path(folder))
        server = Server()
        for wanted, commands in history:
            stage.assign(wanted)
            subscriptions.follow()
            for _ in range(commands):  # interrupted by the next change
                if (payload := subscriptions.next_command()) is not None:
                    server.take(payload)
        stage.assign(last)
        subscriptions.follow()
        while (payload := subscriptions.next_command()) is not None:
            server.take(payload)
        subscriptions.publish()
        assert server.modes == last
        assert stage.wire() == last
