"""A long list is sent in parts, to so many at a time, and not to whoever takes none of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.instruments import Catalogue
from pipeline.services.control.api import lasting
from pipeline.services.control.api.openalgo import download
from pipeline.services.control.api.openalgo.download import DOWNLOADS_MAX, Downloads
from pipeline.services.control.api.openalgo.replies import Failed
from tests.instruments.lists import stored
from tests.services.control.api.test_stream import SCOPE, Caller


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    folder: Path = tmp_path_factory.mktemp("list")
    yield stored(folder)


def _sent(catalogue: Catalogue, form: str, caller: Caller) -> None:
    answer = Downloads().answer(catalogue, "", form)
    asyncio.run(answer(SCOPE, caller.receive, caller.send))


@pytest.mark.parametrize("rows", [1, 2, 7, 10_000])
def test_parts_of_any_length_are_one_document(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(download, "ROWS", rows)
    caller = Caller()
    _sent(catalogue, "json", caller)
    found = json.loads(caller.body)
    assert len(found["data"]) == len(catalogue)
    assert not caller.sent[-1]["more_body"] and caller.sent[-2]["more_body"]
    caller = Caller()
    _sent(catalogue, "csv", caller)
    assert len(caller.body.decode().splitlines()) == len(catalogue) + 1


def test_one_who_takes_nothing_is_cut_off(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "WRITE_S", 0.01)
    downloads = Downloads()
    answer = downloads.answer(catalogue, "", "json")
    caller = Caller(reads=False)
    asyncio.run(answer(SCOPE, caller.receive, caller.send))
    assert downloads.count == 0 and not caller.body


def test_there_are_so_many_at_a_time(catalogue: Catalogue) -> None:
    async def run() -> None:
        downloads = Downloads()
        gate = asyncio.Event()

        class Slow(Caller):
            async def send(self, message: Any) -> None:
                await gate.wait()
                await super().send(message)

        callers = [Slow() for _ in range(DOWNLOADS_MAX)]
        tasks = []
        for caller in callers:
            answer = downloads.answer(catalogue, "NSE", "json")
            tasks.append(asyncio.ensure_future(answer(SCOPE, caller.receive, caller.send)))
            await asyncio.sleep(0)
        with pytest.raises(Failed, match="ask again"):
            downloads.answer(catalogue, "NSE", "json")
        gate.set()
        await asyncio.gather(*tasks)
        downloads.answer(catalogue, "NSE", "json")
        assert {caller.body for caller in callers} == {callers[0].body} != {b""}

    asyncio.run(run())
