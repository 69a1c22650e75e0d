"""Any history of pools that mirror: halves are apart, and no second one costs anybody a place.

Connections fail and come back, keys are limited, connections are recycled and drained, and the
control process dies; in the end what is wanted is carried, and mirrored as far as there is room.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant

from tests.services.control.test_owners_machine import POOL, OwnersMachine

MIRRORED = frozenset({2, 4, 9, 10, 12, 16})


class MirrorsMachine(OwnersMachine):
    """The same two pools, where some instruments are to be on two connections."""

    settings_text = f"{POOL}mirror = {sorted(MIRRORED)}\n"

    @invariant()
    def halves_are_apart_and_within_limits(self) -> None:
        for pool in self.realm.pools.values():
            owners, links = pool.placement, pool.links
            for token, second in pool.assigned.mirrors.items():
                assert owners[token] != second
                assert token in links[owners[token]].rows and token in links[second].rows
                assert links[owners[token]].decoder == links[second].decoder
        for number, rows in self.world.tables.items():
            assert len(rows) <= 4, (number, rows)

    def teardown(self) -> None:
        super().teardown()
        for pool in self.realm.pools.values():
            wished = pool.ledger.desired.keys() & MIRRORED
            assert pool.assigned.mirrors.keys() <= wished == pool.mirrors.wished
            single = wished - pool.assigned.mirrors.keys()
            assert pool.mirrors.single == len(single)
            assert single - pool.unplaced.keys() == pool.mirrors.refused.keys()


def test_what_is_placed_in_the_turn_that_closes_a_half_s_owner_exceeds_no_limit() -> None:
    """Two take the room of second halves, whose owner's connection is recycled then and there."""
    machine = MirrorsMachine()
    bob = machine.realm.pools["bob"]
    machine.want(client="u", wish=("bob", [14, 13, 9, 16, 11, 20]))
    machine.turn(2.0)
    assert bob.assigned.mirrors == {9: 1, 16: 1}
    bob.upkeep.recycle(0)
    machine.want(client="u", wish=("bob", [17, 18]))
    machine.turn(0.02)
    machine.halves_are_apart_and_within_limits()
    assert machine.world.tables[1].keys() == {11, 17, 18, 20}
    machine.turn(2.0)
    assert len(machine.realm.carried("bob")) == 8
    machine.teardown()


MirrorsMachine.TestCase.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a turn takes too long to shrink
)  # fmt: skip
TestMirrors = MirrorsMachine.TestCase


@pytest.mark.full
@pytest.mark.timeout(1800)
class TestManyHistories(MirrorsMachine.TestCase):
    """The same with many more histories."""

    settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
