"""Whole files: good ones, and every kind of bad one with all its problems at once."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import Config, load, parse
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.exit_codes import ExitCode

ROOT = Path(__file__).parents[3]
LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
GOOD = """
[simulator]
[[account]]
name = "a"
url = "simulator"
api_key = "demo"
[[connection]]
account = "a"
[[subscription]]
instruments = [408065]
"""
CANARY = "cAnArYtOkEn0123456789abcdef"


def problems(text: str, folder: Path = Path()) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(text, limits=LIMITS, folder=folder)
    return list(caught.value.problems)


def paths(text: str) -> list[str]:
    return [problem.path for problem in problems(text)]


def only(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


def test_a_small_config_has_its_defaults() -> None:
    config = parse(GOOD, limits=LIMITS)
    assert config.instance.name == "demo"
    assert config.feed.stall_after_s == 4.5
    assert config.connections[0].instruments_max == 3000
    assert config.subscriptions[0].tokens == (408065,)
    assert config.accounts[0].handshake_spacing_s == 0.0
    assert config.session.hours is None


@pytest.mark.parametrize("name", ["sim.toml", "kite.toml", "reference.toml"])
def test_examples_are_valid(name: str) -> None:
    config = load(ROOT / "examples" / "config" / name, limits=LIMITS, read_secrets=False)
    assert config.connections


def test_every_problem_is_found_at_once() -> None:
    text = GOOD.replace('api_key = "demo"', "") + (
        '[feed]\nping_after_s = "three"\nstal_after_s = 4\n'
        '[rings]\ntick_records = 7\n[instance]\nname = "No Good"\nlog_level = "loud"\n'
    )
    assert paths(text) == [
        "instance.name",
        "instance.log_level",
        "account[0].api_key",
        "feed.stal_after_s",
        "feed.ping_after_s",
        "rings.tick_records",
    ]


def test_message_names_what_was_found_and_what_is_allowed() -> None:
    problem = only(GOOD + '[decoder]\ncount = "two"\n')
    assert str(problem) == "decoder.count: found 'two'; expected an integer from 1 to 256"


def test_the_error_ends_a_command_with_78() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("", limits=LIMITS)
    assert caught.value.exit_code == ExitCode.CONFIG


def test_unknown_key_names_the_nearest() -> None:
    assert only(GOOD + "[feed]\nstal_after_s = 4\n").hint == "did you mean stall_after_s?"


def test_unknown_section() -> None:
    assert only(GOOD + "[decoders]\n").hint == "did you mean decoder?"


def test_renamed_key_says_its_name_here() -> None:
    assert only(GOOD + "[feed]\nping_interval_s = 3\n").allowed == "ping_after_s"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("count", "true"),
        ("count", "1.5"),
        ("count", "0"),
        ("spin_us", "-1"),
        ("catch_up_age_ms", '"100"'),
        ("count", "[]"),
        ("count", "0x" + "f" * 5000),
        ("count", "1979-05-27"),
    ],
)
def test_wrong_integers(key: str, value: str) -> None:
    assert only(GOOD + f"[decoder]\n{key} = {value}\n").path == f"decoder.{key}"


@pytest.mark.parametrize("value", ["-1", "2000001", "0.0", '"0"', "true", "false"])
def test_wrong_latencies_of_idle_processors(value: str) -> None:
    problem = only(GOOD + f"[instance]\ncpu_dma_latency_us = {value}\n")
    assert problem.path == "instance.cpu_dma_latency_us"
    assert problem.allowed == "an integer from 0 to 2000000"


def test_idle_processors_are_left_alone_unless_it_says_so() -> None:
    assert parse(GOOD, limits=LIMITS).instance.cpu_dma_latency_us is None
    asked = GOOD + "[instance]\ncpu_dma_latency_us = 0\n"
    assert parse(asked, limits=LIMITS).instance.cpu_dma_latency_us == 0


@pytest.mark.parametrize("value", ["nan", "inf", "-1", '"x"', "true", "[1.0]", "0x" + "f" * 5000])
def test_wrong_numbers(value: str) -> None:
    assert only(GOOD + f"[feed]\nquiet_after_s = {value}\n").path == "feed.quiet_after_s"


def test_section_that_is_no_table() -> None:
    assert "feed" in paths("feed = 3\n" + GOOD)


def test_single_brackets_where_two_belong() -> None:
    found = problems(GOOD.replace("[[account]]", "[account]"))
    assert "two brackets" in found[0].hint


@pytest.mark.parametrize("token", [f'"{CANARY}"', f'["{CANARY}"]', f'"plain:{CANARY}"', "12345"])
def test_literal_token_is_refused_and_never_shown(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f'[[account]]\nname = "a"\napi_key = "k"\naccess_token = {token}\n', limits=LIMITS)
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value.problems)
    assert "file:kite-token" in str(caught.value)


def test_missing_token_says_how_to_give_one() -> None:
    text = GOOD.replace('url = "simulator"', "").replace("[simulator]", "")
    problem = only(text)
    assert problem.path == "account[0].access_token"
    assert "file:kite-token" in problem.hint


def test_token_file_is_checked_before_anything_starts(tmp_path: Path) -> None:
    text = GOOD.replace('url = "simulator"', 'access_token = "file:token"')
    text = text.replace("[simulator]", "")
    [missing] = problems(text, tmp_path)
    assert missing.path == "account[0].access_token" and "chmod 600" in missing.hint
    token = tmp_path / "token"
    token.write_text(CANARY)
    token.chmod(0o644)
    [open_to_others] = problems(text, tmp_path)
    assert "0644" in open_to_others.hint and CANARY not in str(open_to_others)
    token.chmod(0o600)
    config = parse(text, limits=LIMITS, folder=tmp_path)
    assert config.secret(config.accounts[0]).read().secret.reveal() == CANARY
    assert CANARY not in repr(config)


def test_clear_text_address_is_for_loopback_only() -> None:
    assert "account[0].url" in paths(GOOD.replace('"simulator"', '"ws://example.com"'))
    config = parse(GOOD.replace('"simulator"', '"ws://127.0.0.1:9000"'), limits=LIMITS)
    assert config.accounts[0].simulated


@pytest.mark.parametrize(
    "line",
    [
        f'url = "wss://ws.kite.trade?access_token={CANARY}"',
        f'url = "wss://user:{CANARY}@ws.kite.trade"',
        f'url = "simulator"\napi_key = "{CANARY} "',
        f'url = "simulator"\naccess_tokn = "{CANARY}"',
    ],
)
def test_values_where_a_secret_may_stand_are_not_shown(line: str) -> None:
    text = GOOD.replace('api_key = "demo"', "") if "api_key" in line else GOOD
    with pytest.raises(ConfigError) as caught:
        parse(text.replace('url = "simulator"', line), limits=LIMITS)
    assert CANARY not in str(caught.value)


def test_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load(file, limits=LIMITS).accounts[0].name == "a"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (GOOD.encode("utf-16"), "UTF-16"),
        (b'[instance]\nname = "\xff"\n', "the byte 0xff"),
        (b"[instance\n", "line 1"),
        (b"a = " + b"[" * 100_000, "file"),
        (b"a = " + b"1" * 5000, "file"),
        (b"x" * (5 * 2**20), "bytes"),
    ],
)
def test_files_that_are_no_toml(tmp_path: Path, content: bytes, found: str) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file, limits=LIMITS)
    assert found in str(caught.value)


@pytest.mark.parametrize("make", ["nothing", "folder"])
def test_unreadable_files(tmp_path: Path, make: str) -> None:
    file = tmp_path / "a.toml"
    if make == "folder":
        file.mkdir()
    with pytest.raises(ConfigError, match="a readable file"):
        load(file, limits=LIMITS)


def test_token_list_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "tokens.txt").write_text("# list\n408065  # INFY\r\n\n884737\n")
    text = GOOD.replace("instruments = [408065]", 'file = "tokens.txt"')
    config = parse(text, limits=LIMITS, folder=tmp_path)
    assert config.subscriptions[0].tokens == (408065, 884737)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"INFY\n1\n", "line 1: 'INFY'"),
        (b"0\n", "line 1"),
        (b"4294967296\n", "line 1"),
        (b"9" * 5000, "line 1"),
        (b"\n", "no instrument"),
        (b"\xff\xff\xff", "not UTF-8"),
    ],
)
def test_bad_token_lists(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "tokens.txt").write_bytes(content)
    text = GOOD.replace("instruments = [408065]", 'file = "tokens.txt"')
    [problem] = problems(text, tmp_path)
    assert problem.path == "subscription[0].file"
    assert found in problem.found


def test_missing_token_list(tmp_path: Path) -> None:
    text = GOOD.replace("instruments = [408065]", 'file = "tokens.txt"')
    assert problems(text, tmp_path)[0].allowed == "a readable file"


def test_a_checked_config_can_be_pickled_and_does_not_change() -> None:
    config = parse(GOOD, limits=LIMITS)
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(AttributeError):
        config.source = "x"  # type: ignore[misc]
    assert isinstance(config, Config)
