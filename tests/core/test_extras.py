"""Optional packages: what is missing is told with the extra that brings it."""

from __future__ import annotations

import json
import pickle
import shlex
import tomllib
from pathlib import Path

import pytest

from pipeline.core import extras
from pipeline.core.errors import MissingExtra
from tests.conftest import ROOT


def test_every_extra_is_one_of_the_distribution() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        offered = tomllib.load(file)["project"]["optional-dependencies"]
    for package, extra in extras.EXTRA_OF.items():
        name = package.replace("_", "-")
        assert any(name in line for line in offered[extra]), package


def test_the_demo_installs_what_its_page_needs() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        offered = tomllib.load(file)["project"]["optional-dependencies"]
    assert offered["demo"] == [*offered["sim"], *offered["api"], *offered["gateway"]]


def test_what_is_there_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.EXTRA_OF, "json", "json")  # type: ignore[attr-defined]
    assert extras.import_extra("json", needed_by="this test") is json


def test_what_is_missing_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.EXTRA_OF, "not_there", "some")  # type: ignore[attr-defined]
    with pytest.raises(MissingExtra) as caught:
        extras.import_extra("not_there", needed_by="this test")
    text = "this test needs the package not_there, which is not installed: "
    assert str(caught.value) == f"{text}pip install 'tickrail[some]'"
    assert isinstance(caught.value, ImportError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.extra) == (str(caught.value), "some")


def test_a_checkout_names_the_packages_and_an_installation_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        offered = tomllib.load(file)["project"]["optional-dependencies"]
    for extra in set(extras.EXTRA_OF.values()):
        assert shlex.split(extras.install_command(extra)) == ["pip", "install", *offered[extra]]
    monkeypatch.setattr(extras, "_PROJECT", tmp_path / "pyproject.toml")
    assert extras.install_command("api") == "pip install 'tickrail[api]'"


def test_what_is_required_is_looked_for_and_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.EXTRA_OF, "not_there", "some")  # type: ignore[attr-defined]
    extras.require_extra("json", needed_by="this test")
    with pytest.raises(MissingExtra, match="this test needs the package not_there"):
        extras.require_extra("not_there", needed_by="this test")
