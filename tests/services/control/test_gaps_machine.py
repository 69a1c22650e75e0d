"""Any history of pools over several decoders: whoever ticks elsewhere after a break is told a gap.

Connections fail, say nothing and never come up; what moves finds no target that ticks in time; the
control process dies also while it writes its tables. A witness follows what each connection would
bring by its table, as decoders do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from pipeline.core.clock import NS_PER_S
from pipeline.services.control.links import Link, Row
from tests.services.control.owners import Realm, owners_config
from tests.services.control.test_owners_machine import POOL, OwnersMachine
from tests.services.control.world import World

MIRRORED = (2, 9, 12)


class Carrier(NamedTuple):
    """A connection that brings an instrument: under which row, and when it did last."""

    owner_epoch: int
    last_ns: int


class Died(Exception):
    """The control process, in the middle of its work."""


class Witness(World):
    """A world that follows each instrument: `told` counts the gaps, `faults` are what is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.realm: Realm | None = None
        self.writes_left: int | None = None
        self.told = 0
        self.faults: list[str] = []
        #: By owner and instrument: the connections that brought it and have it still.
        self._carriers: dict[tuple[str, int], dict[int, Carrier]] = {}

    def write(self, link: Link) -> bool:
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise Died
        return super().write(link)

    def first_packets(self, number: int, tokens: Iterable[int], slots: Iterable[int]) -> list[int]:
        tokens = list(tokens)
        times = super().first_packets(number, tokens, slots)
        pairs = zip(tokens, times, strict=True)
        return [ns if (number, token) in self.ticked else 0 for token, ns in pairs]

    def step(self) -> None:
        super().step()
        assert self.realm is not None
        wanted = self._wanted()
        self._carriers = {whose: of for whose, of in self._carriers.items() if whose in wanted}
        for (_, token), of in self._carriers.items():
            for number in [n for n in of if token not in self.tables.get(n, {})]:
                del of[number]
        for number in sorted(self.tables):
            owner = self.realm.owner_at(number)
            for token in sorted(self.ticking(number)):
                if (owner, token) in wanted:
                    self._tick(owner, token, number, self.tables[number][token])

    def _wanted(self) -> set[tuple[str, int]]:
        assert self.realm is not None
        pools = self.realm.pools.items()
        return {(owner, token) for owner, pool in pools for token in pool.ledger.desired}

    def forget_unwanted(self) -> None:
        """Follow no more what an owner does not want and has in no table: no successor knows it."""
        assert self.realm is not None
        left = self._wanted()
        for owner in self.realm.pools:
            left |= {(owner, token) for token in self.realm.carried(owner)}
        self._carriers = {whose: of for whose, of in self._carriers.items() if whose in left}

    def _tick(self, owner: str, token: int, number: int, row: Row) -> None:
        """A tick comes: is it the first after a break, and does its row say so?"""
        of = self._carriers.get((owner, token))
        if of is not None and (number not in of or of[number].owner_epoch != row.owner_epoch):
            self._judge(f"{token} on {number}", of, row, self.written_ns[number, token])
        of = self._carriers.setdefault((owner, token), {})
        of[number] = Carrier(row.owner_epoch, self.now_ns)

    def _judge(self, where: str, of: dict[int, Carrier], row: Row, since_ns: int) -> None:
        says = row.left_mono_ns > 0
        # Its decoder tells none where another connection has ticked since this one was assigned.
        is_told = says and all(carrier.last_ns <= since_ns for carrier in of.values())
        self.told += is_told
        if of and is_told:
            self.faults.append(f"told for nothing: {where}, {of}")
        if not of and not says:
            self.faults.append(f"not told: {where}")
        if row.left_mono_ns > self.now_ns + NS_PER_S:  # of which the world is ahead
            self.faults.append(f"told of what is to come: {where}")


class GapsMachine(OwnersMachine):
    """Two owners' pools, whose connections are of several decoders."""

    settings_text = f"{POOL}confirm_after_s = 0.4\nmirror = {list(MIRRORED)}\n"

    def __init__(self) -> None:
        super().__init__()
        self.world = self.witness = Witness()
        self.realm = Realm(owners_config(self.settings_text), self.witness)
        self.witness.realm = self.realm

    @precondition(lambda self: self.world.topology)
    @rule(data=st.data(), how=st.sampled_from(["undecoded", "down", "mute"]))
    def more_trouble(self, data: st.DataObject, how: str) -> None:
        number = data.draw(st.sampled_from([row.number for row in self.world.topology]))
        getattr(self.world, how).symmetric_difference_update({number})
        self.realm.turn(0.5)

    @rule()
    def make_none(self) -> None:
        self.world.refuses = not self.world.refuses

    @rule(writes=st.integers(0, 4))
    def die_writing(self, writes: int) -> None:
        self.witness.writes_left = writes
        try:
            self.realm.turn(0.02)
        except Died:
            self.witness.writes_left = None
            # What it had let go before it died is asked for anew of its successor.
            self.witness.forget_unwanted()
            self.realm.restart()
        self.witness.writes_left = None

    def teardown(self) -> None:
        self.world.undecoded.clear()
        self.world.refuses = False
        super().teardown()
        assert not self.witness.faults, self.witness.faults[:5]


def test_a_target_that_ticked_and_failed_before_the_flip_is_told_of() -> None:
    """The source's frames wait to be decoded; the third connection is another decoder's."""
    machine = GapsMachine()
    witness = machine.witness
    machine.want(client="u", wish=("alice", [5, 9]))
    machine.die_writing(writes=2)
    for trouble, number in ((witness.undecoded, 1), (witness.down, 1), (witness.down, 2)):
        trouble.add(number)
        machine.realm.turn(0.5)
    assert witness.ticking(3) == {5, 9}
    assert witness.faults == [] and witness.told == 1
    machine.teardown()


def test_what_was_let_go_before_a_death_begins_anew() -> None:
    """Nobody wanted it in between, if only for a moment: there is no gap to tell."""
    machine = GapsMachine()
    everything = ("alice", [3, 4, 5, 6, 7, 8])  # on two connections
    machine.want(client="t", wish=everything)
    machine.turn(0.5)
    machine.leave(client="t", owner="alice")
    machine.die_writing(writes=1)
    assert 0 < len(machine.realm.carried("alice")) < 6
    machine.want(client="u", wish=everything)
    machine.turn(2.0)
    assert len(machine.realm.carried("alice")) == 6
    assert machine.witness.faults == [] and machine.witness.told == 0
    machine.teardown()


def _settings(**more: Any) -> settings:
    return settings(
        deadline=None, suppress_health_check=[HealthCheck.too_slow],
        phases=[Phase.explicit, Phase.reuse, Phase.generate], **more,
    )  # fmt: skip


GapsMachine.TestCase.settings = _settings(max_examples=10, stateful_step_count=25)
TestGaps = GapsMachine.TestCase


@pytest.mark.full
@pytest.mark.timeout(1800)
class TestManyHistories(GapsMachine.TestCase):
    """The same with many more histories."""

    settings = _settings(max_examples=300, stateful_step_count=40)
