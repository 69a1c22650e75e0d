"""`screen`: what it prints lets a browser in, once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from pipeline.cli import main, screen
from tests.services.control.api.served import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("screen"))
    try:
        yield served.ready()
    finally:
        served.close()


def _screen(served: Served, *words: str) -> int:
    return main.run(["screen", *words, "--shm-directory", str(served.ground.paths.root)])


def test_the_address_is_alone_on_stdout(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert _screen(served) == 0
    said = capsys.readouterr()
    address, _, ticket = said.out.rstrip("\n").partition("/#ticket=")
    assert address == f"http://127.0.0.1:{served.port}"
    assert "once" in said.err and ticket not in said.err
    assert served.post("/auth/session", {"ticket": ticket}, token=None).status == 200
    assert served.post("/auth/session", {"ticket": ticket}, token=None).status == 403


def test_json_says_how_long(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert _screen(served, "test", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"url", "expires_in_s"} and found["expires_in_s"] == 300


def test_an_account_that_is_not_there_is_told(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _screen(served, "--account", "nobody") != 0
    assert "known: a" in capsys.readouterr().err
    assert screen.command.__doc__
