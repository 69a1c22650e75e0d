"""API keys, of the config's accounts."""

from __future__ import annotations

from pipeline.services.control.keys import keys_of
from tests.services.control.world import pool_config


def test_each_account_is_a_key_by_its_position() -> None:
    found = keys_of(pool_config(keys=2))
    assert [(key.account, key.index) for key in found] == [("a", 0), ("b", 1)]
