"""Any history of two owners' pools: nothing of one is ever on a connection of the other.

Both want instruments out of the same few; connections fail and come back, keys are limited,
connections are recycled and drained, and the control process dies.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.core.enums import State
from pipeline.services.control.upkeep import CannotBeDone
from tests.services.control.owners import OWNERS, Realm, owners_config

POOL = (
    "instruments_per_connection = 4\nconnections_per_key = 2\nheadroom = 0.0\n"
    "redistribute_after_s = 0.2\nrebalance_after_s = 0.5\nmoves_per_s = 1000\nlinger_s = 0\n"
)
#: What an owner's keys carry.
ROOM = {"alice": 16, "bob": 8}
SETTLE_S = 70.0  # an adopted demand is let go after 60

owners = st.sampled_from(OWNERS)
clients = st.sampled_from(["t", "u"])
#: What each may want; 9 to 14 both may.
TOKENS = {"alice": range(1, 15), "bob": range(9, 21)}
wishes = st.sampled_from(OWNERS).flatmap(
    lambda owner: st.tuples(
        st.just(owner), st.lists(st.sampled_from(TOKENS[owner]), min_size=1, max_size=8)
    )
)


class OwnersMachine(RuleBasedStateMachine):
    """Both owners' pools, in one world; `settings_text`: of `[pool]`."""

    settings_text = POOL

    def __init__(self) -> None:
        super().__init__()
        self.realm = Realm(owners_config(self.settings_text))
        self.world = self.realm.world

    @rule(wish=wishes, client=clients)
    def want(self, wish: tuple[str, list[int]], client: str) -> None:
        owner, tokens = wish
        self.realm.want(owner, tokens, client)

    @rule(wish=wishes, client=clients)
    def give_up(self, wish: tuple[str, list[int]], client: str) -> None:
        owner, gone = wish
        ledger = self.realm.pools[owner].ledger
        if client in ledger.clients:
            ledger.remove(client, gone)

    @rule(owner=owners, client=clients)
    def leave(self, owner: str, client: str) -> None:
        self.realm.pools[owner].ledger.leave(client, self.world.now_ns)

    @rule(seconds=st.sampled_from([0.02, 0.1, 0.5, 2.0]))
    def turn(self, seconds: float) -> None:
        self.realm.turn(seconds)

    @precondition(lambda self: self.world.topology)
    @rule(data=st.data(), how=st.sampled_from(["down", "mute", "barred", "well"]))
    def trouble(self, data: st.DataObject, how: str) -> None:
        number = data.draw(st.sampled_from([row.number for row in self.world.topology]))
        self.world.down.discard(number)
        self.world.mute.discard(number)
        self.world.barred.pop(number, None)
        if how == "barred":
            self.world.barred[number] = State.LIMITED
        elif how != "well":
            getattr(self.world, how).add(number)

    @precondition(lambda self: self.world.topology)
    @rule(data=st.data(), act=st.sampled_from(["recycle", "drain"]))
    def change(self, data: st.DataObject, act: str) -> None:
        number = data.draw(st.sampled_from([row.number for row in self.world.topology]))
        pool = self.realm.pools[self.realm.owner_at(number)]
        try:
            getattr(pool.upkeep, act)(number)
        except CannotBeDone:
            return

    @rule(owner=owners)
    def rebalance(self, owner: str) -> None:
        pool = self.realm.pools[owner]
        pool.moves.replace_waiting(pool.upkeep.plan_balance())

    @rule()
    def die(self) -> None:
        self.realm.restart()

    @invariant()
    def apart(self) -> None:
        self.realm.check()

    def teardown(self) -> None:
        """Once all is well, each has what he wants, as far as his own keys carry it."""
        self.world.down.clear()
        self.world.mute.clear()
        self.world.barred.clear()
        self.realm.turn(SETTLE_S)
        self.realm.check()
        for owner, pool in self.realm.pools.items():
            carried, desired = self.realm.carried(owner), pool.ledger.desired.keys()
            assert carried.keys() <= desired
            assert len(carried) == min(len(desired), ROOM[owner]), (owner, carried, pool.unplaced)
            seconds = pool.assigned.mirrors
            assert all(len(n) == 1 + (token in seconds) for token, n in carried.items())


OwnersMachine.TestCase.settings = settings(
    max_examples=10, stateful_step_count=25, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a turn takes too long to shrink
)  # fmt: skip
TestOwners = OwnersMachine.TestCase


@pytest.mark.full
@pytest.mark.timeout(1800)
class TestManyHistories(OwnersMachine.TestCase):
    """The same with many more histories."""

    settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
