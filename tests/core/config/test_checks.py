"""What must hold between keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import parse
from pipeline.core.errors import ConfigError, Problem

LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}
ACCOUNT = '[[account]]\nname = "a"\nurl = "simulator"\napi_key = "demo"\n'
CONNECTION = '[[connection]]\naccount = "a"\n'
BASE = "[simulator]\n" + ACCOUNT


def problems(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        parse(text, limits=LIMITS, folder=Path())
    return list(caught.value.problems)


def only(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


def test_nothing_at_all() -> None:
    assert [problem.path for problem in problems("")] == ["account", "connection"]


def test_unknown_account() -> None:
    problem = only(BASE + '[[connection]]\naccount = "b"\n')
    assert problem.path == "connection[0].account"
    assert problem.allowed.endswith(": a")


def test_two_accounts_of_one_name() -> None:
    found = problems(BASE + ACCOUNT + CONNECTION)
    assert [problem.path for problem in found] == ["account[0].name", "account[1].name"]


def test_decoder_out_of_range() -> None:
    assert only(BASE + CONNECTION + "decoder = 1\n").path == "connection[0].decoder"


def test_more_instruments_than_the_broker_allows() -> None:
    problem = only(BASE + CONNECTION + "instruments_max = 3001\n")
    assert problem.allowed == "at most 3000, the broker's limit"


def test_more_connections_than_a_key_allows() -> None:
    problem = only(BASE + 4 * CONNECTION)
    assert problem.path == "connection"
    assert problem.found == "4 with the key of account a"


def test_two_accounts_with_one_key_share_its_connections() -> None:
    second = ACCOUNT.replace('"a"', '"b"')
    text = BASE + second + 2 * CONNECTION + 2 * CONNECTION.replace('"a"', '"b"')
    assert only(text).found == "4 with the key of account a, b"


def test_a_pool_has_one_account_per_key() -> None:
    problem = only(BASE + ACCOUNT.replace('"a"', '"b"') + "[pool]\n")
    assert problem.path == "account[1].api_key" and problem.found == "the key of account a"
    assert "demo" not in str(problem)


@pytest.mark.parametrize("given", ["", "instruments = [1]\nsimulated = {first = 0, count = 1}\n"])
def test_a_subscription_names_its_instruments_once(given: str) -> None:
    problem = problems(BASE + CONNECTION + "[[subscription]]\n" + given)[0]
    assert problem.allowed == "exactly one of instruments, file, simulated"


@pytest.mark.parametrize(
    ("more", "named"),
    [("[pool]\n", "[pool]"), (CONNECTION + "[gateway]\n", "[gateway]")],
)
def test_who_decodes_nothing_has_nothing_that_goes_by_ticks(more: str, named: str) -> None:
    problem = only(f"{BASE}{more}[decoder]\nraw_only = true\n")
    assert (problem.path, problem.allowed) == ("decoder.raw_only", f"false with {named}")


def test_subscription_of_a_connection_that_is_not_there() -> None:
    text = BASE + CONNECTION + "[[subscription]]\ninstruments = [1]\nconnection = 1\n"
    assert only(text).path == "subscription[0].connection"


def test_repeated_instruments_say_where_else() -> None:
    one = "[[subscription]]\ninstruments = [1, 2]\n"
    problem = only(BASE + CONNECTION + one + one)
    assert problem.path == "subscription[1]"
    assert problem.found == "1, 2 again"
    assert problem.hint == "also in subscription[0]"


def test_an_instrument_twice_in_one_list() -> None:
    assert only(BASE + CONNECTION + "[[subscription]]\ninstruments = [7, 7]\n").found == "7 again"


def test_more_instruments_than_room() -> None:
    text = BASE + CONNECTION + "[[subscription]]\nsimulated = {first = 0, count = 3001}\n"
    problem = only(text)
    assert problem.found == "1 instruments without a place"
    assert "at most 3000" in problem.allowed


def test_more_instruments_than_a_chosen_connection_holds() -> None:
    text = BASE + 2 * CONNECTION
    text += "[[subscription]]\nsimulated = {first = 0, count = 3001}\nconnection = 1\n"
    assert only(text).allowed == "at most 3000 instruments on connection 1"


def test_simulated_range_beyond_the_exchange() -> None:
    text = BASE.replace("[simulator]", "[simulator]\ninstruments = 10") + CONNECTION
    text += "[[subscription]]\nsimulated = {first = 5, count = 6}\n"
    assert only(text).found == "first + count = 11"


def test_simulated_range_without_a_simulated_account() -> None:
    live = '[[account]]\nname = "a"\napi_key = "k"\naccess_token = "env:PATH"\n'
    text = live + CONNECTION + "[[subscription]]\nsimulated = {first = 0, count = 1}\n"
    assert only(text).path == "subscription[0].simulated"


def test_address_of_the_simulator_needs_one() -> None:
    assert only(ACCOUNT + CONNECTION).path == "account[0].url"


def test_keys_that_an_exchange_elsewhere_does_not_know() -> None:
    elsewhere = ACCOUNT.replace('"simulator"', '"ws://127.0.0.1:8765"')
    text = elsewhere.replace('"demo"', '"mine"') + CONNECTION
    assert only(text).allowed == "one of demo, demo2, demo3"
    own = BASE.replace('"demo"', '"mine"') + CONNECTION
    assert parse(own, limits=LIMITS, folder=Path()).accounts[0].api_key == "mine"


@pytest.mark.parametrize(
    ("given", "other"), [("tls_key", "tls_certificate"), ("tls_certificate", "tls_key")]
)
def test_a_certificate_and_its_key_go_together(given: str, other: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.touch()
    text = BASE.replace("[simulator]", f'[simulator]\n{given} = "{file}"') + CONNECTION
    problem = only(text)
    assert (problem.path, problem.allowed) == (f"simulator.{given}", f"together with {other}")


def test_gate_is_for_load_mode() -> None:
    text = BASE.replace("[simulator]", '[simulator]\ngate = "fast"') + CONNECTION
    assert only(text).path == "simulator.gate"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[feed]\nping_after_s = 5\n", "feed.ping_after_s"),
        ("[feed]\nbackoff_min_s = 31\n", "feed.backoff_min_s"),
        ("[supervisor]\nrestart_backoff_s = [1, 0]\n", "supervisor.restart_backoff_s"),
        ('[session.hours]\nopen = "15:30"\nclose = "09:15"\n', "session.hours"),
        ("[rings]\nframe_bytes = 65536\n", "rings.frame_bytes"),
        ('[session]\nhours = "never"\n', "session.hours"),
    ],
)
def test_relations(text: str, path: str) -> None:
    assert only(BASE + CONNECTION + text).path == path


def test_ring_of_one_connection_is_checked_by_its_own_key() -> None:
    problem = only(BASE + CONNECTION + "frame_bytes = 65536\n")
    assert problem.path == "connection[0].frame_bytes"
    assert problem.allowed == f"at least {4 * (2 + 186 * 3000)}"


def test_missing_files_are_named(tmp_path: Path) -> None:
    keys = 'faults = "f.toml"\ntruth = "no/t"'
    text = BASE.replace("[simulator]", f"[simulator]\n{keys}")
    text = text.replace('"demo"\n', '"demo"\nca_file = "ca.pem"\n') + CONNECTION
    with pytest.raises(ConfigError) as caught:
        parse(text, limits=LIMITS, folder=tmp_path)
    found = {problem.path for problem in caught.value.problems}
    assert found == {"simulator.faults", "simulator.truth", "account[0].ca_file"}
