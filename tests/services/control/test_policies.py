"""What a config says of placement, in a pool that lives by it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pipeline.core.enums import Mode
from pipeline.planning.pool import Priority, Want, Why
from pipeline.services.control.links import Measured
from pipeline.services.control.upkeep import scaling_of
from tests.services.control.world import Rig, pool_config

SIZE = "instruments_per_connection = 10\nheadroom = 0.0"


def _want(rig: Rig, tokens: Iterable[int], **how: object) -> None:
    if "t" not in rig.pool.ledger.clients:
        rig.pool.ledger.join("t")
    wants = {token: Want(token, Mode.QUOTE)._replace(**how) for token in tokens}
    rig.pool.ledger.add("t", wants)
    rig.turn()


def _by_account(rig: Rig) -> dict[str, set[int]]:
    """Return {account: instruments} of the tables."""
    found: dict[str, set[int]] = {}
    for number, rows in rig.world.tables.items():
        if rows:
            found.setdefault(rig.pool.links[number].account, set()).update(rows)
    return found


def test_b24_manual_placement_takes_what_is_pinned_and_nothing_else() -> None:
    rig = Rig(pool_config(keys=2, pool=f'policy = "manual"\n{SIZE}'))
    _want(rig, [1, 2])
    assert rig.counts() == {} and set(rig.pool.unplaced.values()) == {Why.NOT_PINNED}
    plan = rig.pool.plan({3: Want(3)}, all_or_nothing=True)
    assert [refusal.why for refusal in plan.refused] == [Why.NOT_PINNED]
    _want(rig, [4, 5], account="b")
    assert _by_account(rig) == {"b": {4, 5}}
    _want(rig, [6], account="c")
    assert rig.pool.unplaced[6] is Why.UNKNOWN_ACCOUNT
    assert Why.UNKNOWN_ACCOUNT.text.startswith("API key not found")


def test_b24_pinned_ones_stay_with_their_key_through_an_outage() -> None:
    pool = f'policy = "manual"\n{SIZE}\nopen = "all"\nredistribute_after_s = 0.2'
    rig = Rig(pool_config(keys=2, pool=pool))
    _want(rig, range(1, 7), account="b")
    _want(rig, range(11, 17), account="a")
    lost = rig.pool.placement[1]
    rig.world.down = {lost}
    rig.turn(1.0)
    assert not rig.world.tables[lost]
    assert _by_account(rig) == {"a": set(range(11, 17)), "b": set(range(1, 7))}
    rig.world.down = set()
    rig.turn(2.0)
    assert _by_account(rig)["b"] == set(range(1, 7))
    rig.check()


def test_groups_stay_together_with_affinity() -> None:
    rig = Rig(pool_config(pool=f'policy = "affinity"\nopen = "all"\n{SIZE}'))
    _want(rig, range(1, 13))
    _want(rig, range(21, 27), group="spread")
    assert len({rig.pool.placement[token] for token in range(21, 27)}) == 1


def test_classes_go_by_their_routes_and_spill() -> None:
    routes = 'routes = { critical = ["b"], hot = ["b", "a"] }\nconnections_per_key = 1'
    rig = Rig(pool_config(keys=2, pool=f'policy = "class_route"\n{SIZE}\n{routes}'))
    _want(rig, range(1, 7), priority=Priority.CRITICAL)
    _want(rig, range(11, 18), priority=Priority.HOT)
    assert _by_account(rig) == {"b": {*range(1, 7), *range(11, 15)}, "a": {15, 16, 17}}
    _want(rig, [30], priority=Priority.CRITICAL)
    assert rig.pool.unplaced == {30: Why.CAPACITY}  # its route has no other account


@pytest.mark.parametrize(
    ("spread", "parts"),
    [("fill", {"a": 10, "b": 4}), ("round_robin", {"a": 7, "b": 7}), (None, {"a": 7, "b": 7})],
)
def test_accounts_share_as_the_config_says(spread: str | None, parts: dict[str, int]) -> None:
    line = "" if spread is None else f'spread = "{spread}"\n'
    pool = f"{line}connections_per_key = 1\n{SIZE}"
    rig = Rig(pool_config(keys=2, pool=pool))
    _want(rig, range(1, 15))
    assert {name: len(tokens) for name, tokens in _by_account(rig).items()} == parts


def test_weights_say_who_carries_more() -> None:
    pool = f'policy = "weighted"\nweights = [3, 1]\nopen = "all"\nconnections_per_key = 2\n{SIZE}'
    rig = Rig(pool_config(pool=pool))
    _want(rig, range(1, 9))
    assert rig.counts() == {0: 6, 1: 2}
    _want(rig, range(11, 13))  # and so of connections that are there
    assert rig.counts() == {0: 7, 1: 3} or rig.counts() == {0: 8, 1: 2}


@pytest.mark.parametrize("last", [True, False])
def test_a_connection_that_is_unwell_is_the_last_resort_or_none(*, last: bool) -> None:
    line = f"unhealthy_last = {str(last).lower()}\nconnections_per_key = 1\nmin_health = 40"
    rig = Rig(pool_config(pool=f"{line}\n{SIZE}"))
    _want(rig, [1])
    rig.pool.scores = {0: 35.0}
    _want(rig, [2])
    assert (2 in rig.pool.placement) is last
    assert last or rig.pool.unplaced == {2: Why.UNHEALTHY}


def test_a_busy_decoder_has_another_connection_opened() -> None:
    pool = f"decoder_bytes_per_s = 1000\n{SIZE}"
    rig = Rig(pool_config(pool=pool, more="[decoder]\ncount = 2"))
    assert rig.config.pool is not None
    assert scaling_of(rig.config.pool).decoder_bytes_per_s == 1000
    _want(rig, [1])
    rig.pool.measured = {0: Measured(bytes_per_s=600.0)}
    rig.turn(2.5)
    assert len(rig.pool.links) == 1
    rig.pool.measured = {0: Measured(bytes_per_s=800.0)}
    rig.turn(2.5)
    assert [link.decoder for link in rig.pool.links.values()] == [0, 1]
