"""The table of requests and answers, played through a session: to the letter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.services.gateway.actions import ACTIONS
from pipeline.services.keys import Principal
from tests.services.gateway.desk import KEY, Client, FakeDesk

HOMELESS = "ba9876543210." + 64 * "7"
TABLE = Path(__file__).parents[2] / "golden" / "gateway_protocol.txt"
MARK = ", authenticated"


class Conversation(NamedTuple):
    """A connection: what is sent, each with what is to come back."""

    title: str
    turns: list[tuple[str, list[str]]]


def conversations() -> list[Conversation]:
    found: list[Conversation] = []
    for line in TABLE.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "=":
            found.append(Conversation(rest, []))
        elif kind == "C":
            found[-1].turns.append((rest, []))
        elif kind == "S":
            found[-1].turns[-1][1].append(rest)
        else:
            assert kind in ("", "#"), line
    return found


def filled(text: str) -> bytes:
    for word, key in (("KEY", KEY), ("HOMELESS", HOMELESS)):
        text = text.replace(f": {word}", f": {json.dumps(key)}")
    return text.encode()


@pytest.mark.parametrize("conversation", conversations(), ids=lambda each: each.title)
def test_answers_are_those_of_the_table(conversation: Conversation) -> None:
    desk = FakeDesk()
    desk.keys[HOMELESS] = Principal("ba9876543210", "bob", "elsewhere", None)
    client = Client(desk)
    if conversation.title.endswith(MARK):
        client.authenticate()
    for request, answers in conversation.turns:
        before = len(client.raw)
        client.send(filled(request))
        assert [raw.decode() for raw in client.raw[before:]] == answers, request
    assert client.closed == []


def test_the_table_has_every_action() -> None:
    text = TABLE.read_text()
    for action in ("authenticate", "auth", *ACTIONS):
        assert f'"{action}"' in text
