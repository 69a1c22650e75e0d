"""`demo gateway` before anything runs: what it needs, and the config that it runs."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from pipeline.brokers.registry import broker_limits
from pipeline.cli.demo import gateway
from pipeline.cli.demo.examples import scene_of, summaries
from pipeline.cli.demo.gateway import GatewayScene
from pipeline.core.config import parse
from pipeline.core.errors import PipelineError


def packages_are(monkeypatch: pytest.MonkeyPatch, *there: str) -> None:
    def fake(name: str) -> object:
        return find_spec("json") if name in there else None

    monkeypatch.setattr(gateway, "find_spec", fake)


def test_what_is_missing_is_told_in_a_line_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packages_are(monkeypatch, "picows")
    with pytest.raises(PipelineError) as caught:
        scene_of("gateway")
    told = "demo gateway needs openalgo, not installed here: "
    assert str(caught.value) == f"{told}{sys.executable} -m pip install openalgo"
    packages_are(monkeypatch)
    with pytest.raises(
        PipelineError, match="needs picows and openalgo, .* -m pip install picows openalgo$"
    ):
        scene_of("gateway")


def test_its_config_is_the_examples_with_files_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    packages_are(monkeypatch, "picows", "openalgo")
    scene = scene_of("gateway")
    assert isinstance(scene, GatewayScene)
    config = parse(scene.config_text(), limits=broker_limits())
    assert config.instance.name == scene.paths.name
    assert config.gateway is not None and config.pool is not None
    assert (config.gateway.port, config.gateway.keys_file) == (0, "keys.sqlite")
    assert config.instruments.file == "instruments.sqlite"


def test_it_is_listed_with_the_others() -> None:
    assert summaries()["gateway"].startswith("What an OpenAlgo strategy sees")
