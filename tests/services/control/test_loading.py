"""What is done in a thread beside the loop: the loop goes on, and nothing is done twice at once."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from pipeline.core.control import AnyRequest, Ask, Declare, SetMode, Subscribe, Unsubscribe
from pipeline.instruments.catalogue import Catalogue, load
from pipeline.services.control.loading import Aside, NameLoading
from pipeline.services.control.names import Names
from tests.instruments.lists import DAY, stored

DEADLINE_S = 30.0
NAME = "NSE:RELIANCE"
KNOWN = {NAME: (738561,)}


def _names(folder: Path) -> Names:
    return Names(folder / "list.sqlite", lambda _: None, today=DAY, kept=True)


class Slow:
    """Holds up each load until it may go on, and knows in which thread it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may_go_on = threading.Event()
        self.threads: list[threading.Thread] = []
        monkeypatch.setattr("pipeline.services.control.names.load", self)

    def __call__(self, file: Path) -> Catalogue:
        self.threads.append(threading.current_thread())
        assert self.may_go_on.wait(DEADLINE_S)
        return load(file)


def test_whoever_names_something_waits_and_the_loop_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path)
    slow, names = Slow(monkeypatch), _names(tmp_path)
    loading = NameLoading(names)

    async def scene() -> None:
        asked = [asyncio.create_task(loading.ready(Subscribe(instruments=[NAME]))) for _ in "ab"]
        asked[0].cancel()  # he has gone; the other one waits still
        while not slow.threads:
            await asyncio.sleep(0.001)  # the loop goes on
        assert not asked[1].done()
        slow.may_go_on.set()
        async with asyncio.timeout(DEADLINE_S):
            await asked[1]

    asyncio.run(scene())
    assert names.resolve([NAME]) == (KNOWN, {})
    assert len(slow.threads) == 1 and slow.threads[0] is not threading.main_thread()


@pytest.mark.parametrize(
    ("request_", "waits"),
    [
        (Subscribe(instruments=[408065, "408065"]), False),
        (Subscribe(instruments=[408065, NAME]), True),
        (Unsubscribe(instruments=[NAME]), True),
        (SetMode(instruments=[NAME], mode="full"), True),
        (Declare(wants={"full": [1], "ltp": [NAME]}), True),
        (Declare(wants={}, follow={"full": ["NFO:NIFTY@near:atm:CE"]}), True),
        (Declare(wants={"full": [1]}), False),
        (Ask(about="stats"), False),
    ],
)
def test_only_names_are_waited_for(tmp_path: Path, request_: AnyRequest, waits: bool) -> None:
    stored(tmp_path)
    names = _names(tmp_path)
    asyncio.run(NameLoading(names).ready(request_))
    assert names.is_used == waits


def test_without_a_list_nobody_waits(tmp_path: Path) -> None:
    names = _names(tmp_path)
    asyncio.run(NameLoading(names).ready(Subscribe(instruments=[NAME])))
    assert "instruments sync" in names.resolve([NAME])[1][NAME].text


def test_a_new_list_is_loaded_aside_and_the_old_one_serves_until_then(tmp_path: Path) -> None:
    stored(tmp_path)
    names = _names(tmp_path)
    loading = NameLoading(names)
    loading.follow()
    assert not names.is_used  # nobody has asked for a name
    names.load()

    async def scene() -> None:
        os.utime(tmp_path / "list.sqlite", ns=(1, 1))
        assert names.is_stale and names.resolve([NAME]) == (KNOWN, {})
        assert names.is_stale  # not by that
        loading.follow()
        await loading.end()
        assert not names.is_stale

    asyncio.run(scene())


def test_a_list_that_is_none_is_refused_once_and_the_old_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored(tmp_path)
    names = _names(tmp_path)
    names.load()
    path = tmp_path / "list.sqlite"
    path.write_bytes(b"broken")
    os.utime(path, ns=(1, 1))
    assert names.is_stale
    names.load()
    assert not names.is_stale and names.resolve([NAME]) == (KNOWN, {})
    assert "stays in use" in caplog.text
    path.unlink()
    assert not names.is_stale and names.resolve([NAME]) == (KNOWN, {})


def test_one_thread_at_a_time() -> None:
    go_on, done = threading.Event(), []

    def work() -> None:
        assert go_on.wait(DEADLINE_S)
        done.append(threading.current_thread())

    async def scene() -> None:
        aside = Aside()
        await aside.end()  # of nothing
        assert aside.begin(work) is aside.begin(work)
        go_on.set()
        await aside.end()
        aside.begin(work)
        await aside.end()

    asyncio.run(scene())
    assert len(done) == 2


def test_a_failure_ends_nothing() -> None:
    async def scene() -> None:
        aside = Aside()
        task = aside.begin(lambda: Path("/nowhere/at/all").unlink())
        await aside.end()
        assert isinstance(task.exception(), FileNotFoundError)

    asyncio.run(scene())
