"""Presets: their numbers, what wins over them, and what is said of them."""

from __future__ import annotations

import tomllib

import pytest

from pipeline.brokers.registry import broker_limits
from pipeline.core.config import parse, presets
from pipeline.core.config.checks import (
    FRAME_AREA_PER_MESSAGE,
    FRAME_HEAD_BYTES,
    PACKET_BYTES_MAX,
)
from pipeline.core.errors import ConfigError
from pipeline.core.plan import FRAME_BYTES_PER_PACKET

#: name: instruments and connections, both buffers in messages, time-out, tries, delay, mode; None
#: where the original says nothing.
TABLE = {
    "standard": (3000, 3, 5000, 10_000, 30.0, 5, 2.0, "quote"),
    "standard_full": (3000, 3, 10_000, 20_000, None, None, None, "full"),
    "high_performance": (3000, 3, 20_000, 50_000, 30.0, 10, 1.0, "ltp"),
    "memory_optimized": (1000, 2, 1000, 2000, 15.0, 3, 5.0, "ltp"),
    "development": (100, 1, 500, 1000, 10.0, 2, 3.0, "full"),
    "trading_strategy": (2000, 3, 15_000, 30_000, None, None, None, "quote"),
    "market_scanner": (3000, 3, 25_000, 50_000, None, None, None, "ltp"),
    "portfolio": (500, 1, 2000, 5000, None, None, None, "full"),
    "hft": (1000, 3, 100_000, 200_000, None, None, None, "full"),
}
AREA = 65_536
TICK_RECORDS_MIN = 1024

FILE = presets.WITHOUT_FILE


def config_of(name: str, text: str = FILE):  # type: ignore[no-untyped-def]
    return parse(text, limits=broker_limits(), preset=name)


def test_every_preset_is_in_the_table() -> None:
    assert list(presets.presets()) == list(TABLE) == list(presets.summaries())


@pytest.mark.parametrize("name", TABLE)
def test_the_numbers_are_those_of_the_table(name: str) -> None:
    instruments, connections, frames, ticks, timeout_s, tries, delay_s, mode = TABLE[name]
    config = config_of(name)
    default = parse(FILE + "[pool]\n", limits=broker_limits())
    assert config.pool.instruments_per_connection == instruments
    assert config.pool.connections_per_key == connections
    assert {s.mode for s in config.subscriptions} == {mode}
    largest = FRAME_AREA_PER_MESSAGE * (FRAME_HEAD_BYTES + PACKET_BYTES_MAX * instruments)
    area = max(frames * FRAME_BYTES_PER_PACKET, largest)
    assert config.rings.frame_bytes == -(-area // AREA) * AREA
    assert config.rings.tick_records == max(ticks, TICK_RECORDS_MIN)
    assert config.feed.connect_timeout_s == (timeout_s or default.feed.connect_timeout_s)
    assert config.feed.backoff_min_s == (delay_s or default.feed.backoff_min_s)
    longest_s = tries * delay_s if tries else default.feed.backoff_max_s
    assert config.feed.backoff_max_s == longest_s


def test_the_file_wins() -> None:
    text = FILE.replace("[simulator]", "[simulator]\n[rings]\ntick_records = 4096\n[feed]\n")
    text += 'mode = "full"\n[[subscription]]\nsimulated = { first = 100, count = 5 }\n'
    config = config_of("market_scanner", text)
    assert config.rings.tick_records == 4096
    assert config.rings.frame_bytes == presets.preset("market_scanner")["rings"]["frame_bytes"]
    assert [s.mode for s in config.subscriptions] == ["full", "ltp"]


def test_a_ring_follows_a_number_of_instruments_that_the_file_has() -> None:
    text = FILE + "[pool]\ninstruments_per_connection = 2500\n"
    config = config_of("development", text)
    assert config.pool.instruments_per_connection == 2500
    assert config.rings.frame_bytes is None
    text += "[rings]\nframe_bytes = 4_000_000\n"
    assert config_of("development", text).rings.frame_bytes == 4_000_000


def test_names_may_be_written_with_a_hyphen_and_unknown_ones_are_told() -> None:
    assert config_of("memory-optimized") == config_of("memory_optimized")
    with pytest.raises(ConfigError) as error:
        config_of("memory-optimised")
    for word in (*TABLE, "did you mean memory_optimized?"):
        assert word in str(error.value)


def test_a_file_with_connections_is_no_pool() -> None:
    with pytest.raises(ConfigError, match=r"connection.*preset hft.*\[pool\]"):
        config_of("hft", FILE + '[[connection]]\naccount = "exchange"\n')


@pytest.mark.parametrize("text", ["pool = 1", "rings = 7", "subscription = 3", "feed = []"])
def test_a_section_that_is_none_is_told_as_without_a_preset(text: str) -> None:
    rest = FILE.partition("[[subscription]]")[0]
    with pytest.raises(ConfigError, match=text.partition(" ")[0]):
        config_of("standard", f"{text}\n{rest}")


def test_origins_say_of_each_key_whether_it_is_the_files() -> None:
    table = tomllib.loads(FILE + "[rings]\ntick_records = 4096\n")
    found = presets.origins("hft", table, "mine")
    assert found["rings.tick_records"] == found["account[0].name"] == "mine"
    assert found["subscription[0].simulated.count"] == "mine"
    assert found["rings.frame_bytes"] == found["subscription[0].mode"] == "preset hft"
