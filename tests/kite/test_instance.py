"""The instance of one ticker: its name, its end, and who may end it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import InstanceError
from pipeline.core.secrets import Secret
from pipeline.kite.instance import ACCOUNT, OwnInstance, paths_for
from pipeline.kite.settings import Settings, instance_config
from pipeline.shm.instance import InstanceView
from tests.conftest import leftovers


def test_names_are_taken_and_given_back(shm_root: Path) -> None:
    one, two = paths_for(shm_root), paths_for(shm_root)
    assert (one.name, two.name) == (f"kite-{os.getpid()}", f"kite-{os.getpid()}-2")
    for paths in (one, two):
        instance = OwnInstance(paths)
        instance._launched.set()
        instance.end()
    assert paths_for(shm_root).name == one.name
    ended = OwnInstance(one)
    ended._launched.set()
    ended.end()


def test_a_frozen_program_does_not_start_itself_anew(
    shm_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(InstanceError, match=r"has none: run .* instance=NAME"):
        paths_for(shm_root)


def test_it_starts_and_ends_and_keeps_the_token_in_one_place(shm_root: Path) -> None:
    paths = paths_for(shm_root)
    settings = Settings("ws://127.0.0.1:1", "key", 1, 60, 1, False)
    file = paths.secrets / ACCOUNT
    config = instance_config(settings, name=paths.name, root=shm_root, token_file=file)
    instance = OwnInstance(paths)
    market = instance.start(config, Secret("a-secret-token"))
    try:
        assert file.read_text() == "a-secret-token\n"
        assert file.stat().st_mode & 0o777 == 0o600
        pid = InstanceView(paths).read().supervisor_pid
        # A forked child of the user's process must leave its parent's instance alone.
        child = os.fork()
        if child == 0:
            instance.end()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert InstanceView(paths).read().supervisor_pid == pid
    finally:
        market.close()
        instance.end()
    assert instance.over.is_set()
    assert leftovers(shm_root) == []
