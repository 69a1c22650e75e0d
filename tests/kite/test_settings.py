"""From a KiteTicker's arguments to a config that the instance accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.brokers.registry import broker_limits
from pipeline.core.config import parse
from pipeline.kite.settings import Settings, capacity, check, instance_config

LIVE = Settings("wss://ws.kite.trade", "key", 30, 60, 1, False)


def config_of(settings: Settings) -> object:
    text = instance_config(
        settings, name="kite-1", root=Path("/dev/shm"), token_file=Path("/dev/shm/token")
    )
    return parse(text, limits=broker_limits(), read_secrets=False)


@pytest.mark.parametrize(
    "settings",
    [
        LIVE,
        LIVE._replace(connections=3, debug=True),
        LIVE._replace(connect_timeout=9999, reconnect_max_delay=1e9),
        LIVE._replace(connect_timeout=0, reconnect_max_delay=5),
        LIVE._replace(api_key='a"b\\c'),
        LIVE._replace(url="ws://127.0.0.1:8765"),
        LIVE._replace(url="wss://ws-sandbox.kite.trade?user_id=AB1234"),
    ],
)
def test_every_accepted_argument_makes_a_config(settings: Settings) -> None:
    check(settings, "token")
    config = config_of(settings)
    assert config.instance.assignment == "facade"  # type: ignore[attr-defined]
    assert len(config.connections) == settings.connections  # type: ignore[attr-defined]
    assert config.accounts[0].api_key == settings.api_key  # type: ignore[attr-defined]


def test_ticks_are_missed_in_the_exchanges_hours_alone() -> None:
    assert config_of(LIVE).session.hours is not None  # type: ignore[attr-defined]
    simulated = LIVE._replace(url="ws://localhost:1")
    assert config_of(simulated).session.hours is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "token", "words"),
    [
        (LIVE, None, "access_token: found nothing"),
        (LIVE, " ", "access_token: found str"),
        (LIVE._replace(api_key=7), "t", "api_key: found int"),  # type: ignore[arg-type]
        (LIVE._replace(url="ws://example.com"), "t", "expected wss://"),
        (LIVE._replace(url="https://kite"), "t", "expected wss://"),
        (LIVE._replace(connections=4), "t", "connections=4: expected 1 to 3"),
        (LIVE._replace(connections=0), "t", "connections=0: expected 1 to 3"),
    ],
)
def test_what_cannot_work_is_one_sentence(settings: Settings, token: object, words: str) -> None:
    with pytest.raises(ValueError, match="^[^\n]*$") as error:
        check(settings, token)
    assert words in str(error.value)


def test_a_connection_carries_kites_limit() -> None:
    assert capacity() == 3000
