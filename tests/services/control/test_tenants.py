"""Two owners over one instance's files: each has his own demand, files, prices and stats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.clock import monotonic_ns
from pipeline.core.control import Ask, Subscribe
from pipeline.core.plan import plan_topology
from pipeline.services.control.documents import Documents
from pipeline.services.control.names import Names
from pipeline.services.control.outside import Outside
from pipeline.services.control.pool import Pool
from pipeline.services.control.router import Router
from pipeline.services.control.tally import Tally
from pipeline.services.control.tenants import CONFIG_CLIENT, Tenant
from pipeline.shm.instance import InstanceFile
from pipeline.shm.names import InstancePaths
from pipeline.shm.plan import plan_segments
from pipeline.supervisor.establish import make_segments
from tests.services.control.owners import OWNERS, owners_config

POOL = 'instruments_per_connection = 10\nhomes_file = "{}"'
CONFIGURED = "".join(
    f'[[subscription]]\ninstruments = [1, {n}]\nowner = "{owner}"\nmode = "ltp"\n'
    for n, owner in ((2, "alice"), (3, "bob"))
)


class Household:
    """What the control process has of its owners, without the process."""

    def __init__(self, folder: Path, paths: InstancePaths) -> None:
        config = owners_config(POOL.format(folder / "homes.sqlite"), more=CONFIGURED)
        if not paths.instance_file.exists():
            topology = plan_topology(config)
            self.instance = InstanceFile.claim(paths)
            make_segments(self.instance, plan_segments(topology), topology, gated=False)
        tally, outside = Tally(), Outside(paths)
        self.pools = {
            owner: Pool(
                config, plan_topology(config), outside, monotonic_ns(), owner=owner, tally=tally
            )
            for owner in config.owners
        }
        self.tenants = {
            owner: Tenant(config, paths, owner, pool) for owner, pool in self.pools.items()
        }
        self.documents = Documents(config, paths, self.pools)
        names = Names(folder / "none.sqlite", lambda _: None)
        for tenant in self.tenants.values():
            tenant.open(names, self.documents.desk, about={}, actions={})
        commands = {owner: tenant.commands for owner, tenant in self.tenants.items()}
        self.router = Router(commands, about={}, questions=self.documents.desk.questions())

    def turn(self) -> None:
        for tenant in self.tenants.values():
            tenant.turn(monotonic_ns())
            tenant.save_demand()
            tenant.homes_to_save()()


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstancePaths:
    # This process supervises the instance, and has no handler for the signal.
    monkeypatch.setattr("pipeline.services.control.outside.os.kill", lambda pid, number: None)
    return InstancePaths("owners", tmp_path)


def test_the_config_wants_for_each_owner_what_it_says(tmp_path: Path, paths: InstancePaths) -> None:
    household = Household(tmp_path, paths)
    wanted = {owner: pool.ledger.desired.keys() for owner, pool in household.pools.items()}
    assert wanted == {"alice": {1, 2}, "bob": {1, 3}}
    assert all(CONFIG_CLIENT in pool.ledger.clients for pool in household.pools.values())
    household.turn()
    rows = Outside(paths).read_topology()
    assert [(row.number, row.account, row.decoder) for row in rows] == [
        (0, 0, 0), (1, 2, 2), (2, 1, 1),
    ]  # fmt: skip


def test_what_is_durable_is_kept_apart(tmp_path: Path, paths: InstancePaths) -> None:
    household = Household(tmp_path, paths)
    for owner, token in zip(OWNERS, (7, 8), strict=True):
        household.router.ledger(owner).join("cli", durable=True)
        answer = household.router.answer("cli", Subscribe(instruments=[token]), owner)
        assert answer.problem is None
    household.turn()
    assert {path.name for path in paths.directory.glob("durable*")} == {
        "durable.alice.json", "durable.bob.json",
    }  # fmt: skip
    again = Household(tmp_path, paths)
    wants = {o: set(again.router.ledger(o).clients["cli"].wants) for o in OWNERS}
    assert wants == {"alice": {7}, "bob": {8}}


def test_homes_are_kept_apart(tmp_path: Path, paths: InstancePaths) -> None:
    household = Household(tmp_path, paths)
    household.turn()
    again = Household(tmp_path, paths)
    assert set(again.pools["alice"].homes.values()) <= {"a1", "a2"}
    assert again.pools["alice"].homes.keys() == {1, 2}
    assert again.pools["bob"].homes == {}  # one key: there is nothing to choose


def test_stats_are_everybodys_or_one_owners(tmp_path: Path, paths: InstancePaths) -> None:
    household = Household(tmp_path, paths)
    household.turn()

    def stats(owner: str | None, account: str | None = None) -> Any:
        answer = household.router.answer("t", Ask(about="stats", account=account), owner)
        return answer.result if answer.problem is None else {"problem": answer.problem.text}

    everything = stats(None)
    assert list(everything["accounts"]) == ["a1", "b1", "a2"]
    owners = {name: row["owner"] for name, row in everything["accounts"].items()}
    assert owners == {"a1": "alice", "b1": "bob", "a2": "alice"}
    assert (everything["pool"]["desired"], everything["pool"]["assigned"]) == (4, 4)
    assert [row["decoder"] for row in everything["decoders"]] == [0, 1, 2]
    bobs = stats("bob")
    assert list(bobs["accounts"]) == ["b1"] and bobs["pool"]["desired"] == 2
    assert [row["decoder"] for row in bobs["decoders"]] == [1]
    assert stats("bob", "b1")["total_subscribed_tokens"] == 2
    assert stats("bob", "a1")["problem"] == "Account 'a1' not found; known: b1"
    assert stats(None, "a1")["owner"] == "alice"
    health = household.router.answer("t", Ask(about="health")).result
    assert (health["total_instruments"], health["total_connections"]) == (4, 3)
    distribution = household.router.answer("t", Ask(about="distribution"), "bob").result
    assert distribution == {"b1": {"2": [1, 3]}}
