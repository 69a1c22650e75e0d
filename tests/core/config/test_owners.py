"""Accounts of several owners: what is refused, and who carries what."""

from __future__ import annotations

import pytest

from pipeline.core.config import Config, parse
from pipeline.core.config.demands import demands_of
from pipeline.core.errors import ConfigError
from pipeline.core.plan import plan_topology
from tests.core.config.test_checks import LIMITS, only, problems

ALICE = '[[account]]\nname = "a"\nurl = "simulator"\napi_key = "demo"\nowner = "alice"\n'
BOB = '[[account]]\nname = "b"\nurl = "simulator"\napi_key = "demo2"\nowner = "bob"\n'
BASE = f"[simulator]\n{ALICE}{BOB}"
TWO = "[decoder]\ncount = 2\n"
APART = (
    '[[connection]]\naccount = "a"\ninstruments_max = 10\n'
    '[[connection]]\naccount = "b"\ninstruments_max = 10\ndecoder = 1\n'
)


def config_of(text: str) -> Config:
    return parse(text, limits=LIMITS)


def wants(owner: str, tokens: str = "[1, 2]", more: str = "") -> str:
    of = f'owner = "{owner}"\n' if owner else ""
    return f"[[subscription]]\ninstruments = {tokens}\n{of}{more}\n"


def test_there_is_one_owner_unless_somebody_says_so() -> None:
    text = BASE.replace('owner = "alice"\n', "").replace('owner = "bob"\n', "")
    config = config_of(text + APART.replace("decoder = 1\n", "") + wants(""))
    assert config.owners == ("default",)
    assert config.owner_of(config.subscriptions[0]) == "default"
    assert {demand.among for demand in demands_of(config)} == {None}


def test_both_may_want_the_same_and_get_it_on_their_own_connection() -> None:
    config = config_of(BASE + TWO + APART + wants("alice") + wants("bob", "[2, 3]"))
    connections = plan_topology(config).connections
    assert [[w.instrument_token for w in c.wanted] for c in connections] == [[1, 2], [2, 3]]
    assert [c.account.owner for c in connections] == ["alice", "bob"]


def test_a_connection_says_whose_its_subscription_is() -> None:
    config = config_of(BASE + TWO + APART + wants("", "[1]", "connection = 1") + wants("alice"))
    assert [config.owner_of(s) for s in config.subscriptions] == ["bob", "alice"]


def test_twice_for_one_owner_is_a_repetition() -> None:
    problem = only(BASE + TWO + APART + wants("alice") + wants("bob") + wants("alice", "[2]"))
    assert problem.path == "subscription[2]" and "subscription[0]" in problem.hint


def test_what_has_no_room_with_its_owner_is_told() -> None:
    tokens = str(list(range(1, 12)))
    problem = only(BASE + TWO + APART + wants("alice", tokens))
    assert problem.allowed == "at most 10 instruments on all connections of its owner"


@pytest.mark.parametrize(
    ("more", "path", "allowed"),
    [
        (wants(""), "subscription[0].owner", "one of the accounts' owners: alice, bob"),
        (wants("carol"), "subscription[0].owner", "the owner of an [[account]]: alice, bob"),
        (
            wants("bob", "[1]", "connection = 0"),
            "subscription[0].owner",
            "alice, whose connection 0 is",
        ),
    ],
)
def test_a_subscription_names_an_owner_that_there_is(more: str, path: str, allowed: str) -> None:
    problem = only(BASE + TWO + APART + more)
    assert (problem.path, problem.allowed) == (path, allowed)


def test_owners_share_no_decoder() -> None:
    problem = only(BASE + TWO + APART.replace("decoder = 1\n", ""))
    assert problem.path == "connection[1].decoder"
    assert problem.found == "0, which has connections of alice"


def test_a_pool_has_a_decoder_for_each_owner() -> None:
    problem = only(BASE + "[pool]\n")
    assert (problem.path, problem.allowed) == (
        "decoder.count", "at least 2, one for each owner: alice, bob",
    )  # fmt: skip


def test_a_pools_decoders_are_dealt_out_to_owners() -> None:
    pool = "[pool]\ninstruments_per_connection = 10\n"
    config = config_of(f"{BASE}[decoder]\ncount = 3\n{pool}")
    assert [list(config.decoders_of(owner)) for owner in config.owners] == [[0, 2], [1]]
    topology = plan_topology(config)
    places = {(c.account.owner, c.decoder) for c in topology.possible}
    assert places == {("alice", 0), ("alice", 2), ("bob", 1)}
    # Two of alice's three may begin on one decoder; in the course of days all three may be there.
    assert [d.slots for d in topology.decoders] == [30, 30, 30]


def test_a_pools_room_is_its_owners() -> None:
    pool = "[pool]\ninstruments_per_connection = 1\n"
    problem = only(BASE + TWO + pool + wants("alice", "[1, 2, 3, 4]") + wants("bob"))
    assert problem.found == "4 instruments of alice"


def test_a_key_has_one_owner() -> None:
    found = problems(BASE.replace("demo2", "demo") + TWO + APART)
    assert [problem.path for problem in found] == ["account[1].owner"]


def test_a_facade_speaks_for_one_owner() -> None:
    text = BASE + TWO + APART + '[instance]\nassignment = "facade"\n'
    assert only(text).path == "instance.assignment"


def test_a_hosted_strategy_is_an_owners_that_there_is() -> None:
    text = BASE + TWO + APART
    entry = '[[strategy]]\nentry = "module:Class"\nowner = "{}"\n'
    with pytest.raises(ConfigError) as caught:
        parse(text + entry.format("carol"), limits=LIMITS)
    assert [problem.path for problem in caught.value.problems][:1] == ["strategy[0].owner"]
    config = parse(text + entry.format("bob"), limits=LIMITS, read_secrets=False)
    assert [strategy.owner for strategy in config.strategies] == ["bob"]
