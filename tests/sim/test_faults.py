"""Scripts: what is checked, and what happens when."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError
from pipeline.sim.actions import ACTIONS, parse_action
from pipeline.sim.faults import Script, load_script, parse_script
from tests.sim.rig import Rig, rig


def play(on: Rig, script: Script, turns: int, seconds: float = 0.1) -> None:
    for _ in range(turns):
        on.turn(seconds)
        script.step(on.exchange, on.now_s)


def test_every_problem_of_a_script_is_shown_at_once() -> None:
    raw = {
        "faults": [
            {"action": "explode", "at_s": 1},
            {"action": "mute", "at_s": 1},
            {"action": "mute", "seconds": "long", "at_s": 1},
            {"action": "reset"},
            {"action": "reset", "at_s": 1, "after_frames": 2},
            {"action": "reset", "at_s": -1},
            {"action": "reset", "at_s": 1, "connection": "one", "colour": "red"},
            {"action": "bad_text", "kind": "rude", "at_s": 1},
            "reset",
        ],
        "chaos": {"seed": 1, "every_ms": "often", "actions": [{"action": "nothing"}]},
    }
    with pytest.raises(ConfigError) as caught:
        parse_script(raw, source="script", start_s=0.0)
    paths = [problem.path for problem in caught.value.problems]
    assert paths == [
        *("faults[0].action", "faults[1].seconds", "faults[2].seconds", "faults[3]"),
        *("faults[4]", "faults[5].at_s", "faults[6].connection", "faults[6].colour"),
        *("faults[7].kind", "faults[8]"),
        *("chaos.every_ms", "chaos.until_s", "chaos.actions[0].action"),
    ]
    assert "lying_count" in str(caught.value.problems[0])


def test_scripts_are_read_from_toml_and_json(tmp_path: Path) -> None:
    toml = tmp_path / "script.toml"
    toml.write_text('[[faults]]\naction = "mute"\nseconds = 1.5\nat_s = 2\nconnection = 1\n')
    as_json = tmp_path / "script.json"
    as_json.write_text('[{"action": "reset", "on_connect": true}]')
    load_script(toml, start_s=0.0)
    load_script(as_json, start_s=0.0)
    as_json.write_text("[{]")
    with pytest.raises(ConfigError, match="TOML or JSON"):
        load_script(as_json, start_s=0.0)
    as_json.write_bytes(b"[\xef\xe9]")
    with pytest.raises(ConfigError, match="the byte 0xef; expected text in UTF-8"):
        load_script(as_json, start_s=0.0)


def test_an_action_with_every_default_is_complete() -> None:
    needed = {
        "mute": {"seconds": 1},
        "quiet": {"seconds": 1},
        "delay": {"ms": 1},
        "text": {"text": "x"},
        "shift": {"instrument": 256265, "rupees": -5.5},
        "refuse": {"status": 403},
        "rest_refuse": {"status": 403},
        "rest_delay": {"ms": 1},
        "connection_limit": {"policy": "soft"},
        "revoke_token": {"key": "demo"},
        "restore_token": {"key": "demo"},
        "rotate_token": {"key": "demo", "token": "very secret"},
    }
    for name, parameters in ACTIONS.items():
        action, problems = parse_action({"action": name, **needed.get(name, {})}, "command")
        assert not problems and action is not None
        assert set(action.parameters) == set(parameters)
        assert "secret" not in repr(action)


def test_a_moment_a_number_of_frames_and_each_connection() -> None:
    raw = [
        {"action": "mute", "seconds": 1000, "at_s": 1.0, "connection": 1},
        {"action": "reset", "after_frames": 4, "connection": 0},
        {"action": "quiet", "seconds": 1000, "on_connect": True, "connection": 2},
    ]
    with rig() as on:
        script = parse_script(raw, source="script", start_s=on.now_s)
        clients = [on.connect(connection=number) for number in range(3)]
        for client in clients:
            on.say(client, "subscribe", [408065, 884737])
        script.step(on.exchange, on.now_s)
        assert clients[2].conditions.quiet_until_s > on.now_s
        assert clients[1].conditions.calm(on.now_s)
        play(on, script, 12)
        assert clients[0].gone and clients[1].conditions.held(on.now_s)
        again = on.connect(connection=0)
        on.say(again, "subscribe", [408065])
        play(on, script, 12)
        assert again.gone and not clients[1].gone


def test_a_rule_can_repeat_until_a_moment() -> None:
    raw = [{"action": "order", "every_ms": 100, "until_s": 1.05}]
    with rig() as on:
        script = parse_script(raw, source="script", start_s=on.now_s)
        on.connect()
        play(on, script, 40, seconds=0.05)
        assert on.exchange.orders == 10
        assert script.next_wake_s() == float("inf")


def test_chaos_is_a_function_of_its_seed() -> None:
    actions = ["lying_count", "bad_text", {"action": "mute", "seconds": 0.3}, "ping_flood", "fin"]

    def run(seed: int) -> list[tuple[int, int]]:
        raw = {"chaos": {"seed": seed, "every_ms": 50, "until_s": 2.0, "actions": actions}}
        seen = []
        with rig(connection_limit=100) as on:
            script = parse_script(raw, source="script", start_s=on.now_s)
            for number in range(40):
                on.connect(connection=number)
            for _ in range(60):
                play(on, script, 1, seconds=0.05)
                seen.append((len(on.exchange.clients), sum(len(on.received(c)) for c in on.far)))
        return seen

    assert run(3) == run(3) != run(4)
    assert len(run(3)) == 60
