"""What is printed reads back, and the written reference is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.capacity import BrokerLimits
from pipeline.core.config import load, parse
from pipeline.core.config.text import markdown, reference, show, toml_value

ROOT = Path(__file__).parents[3]
LIMITS = {"kite": BrokerLimits(instruments_per_connection=3000, connections_per_key=3)}


@pytest.mark.parametrize("name", ["sim.toml", "kite.toml", "pool.toml", "reference.toml"])
def test_shown_config_reads_back_the_same(name: str) -> None:
    path = ROOT / "examples" / "config" / name
    config = load(path, limits=LIMITS, read_secrets=False)
    again = parse(
        show(config), limits=LIMITS, source=config.source, folder=path.parent, read_secrets=False
    )
    assert again == config


def test_reference_file_is_current() -> None:
    """Write it anew with: python -m pipeline config reference > examples/config/reference.toml"""
    assert (ROOT / "examples" / "config" / "reference.toml").read_text() == reference()


def test_page_is_current() -> None:
    """Write it anew with: python -m pipeline config reference --markdown > docs/configuration.md"""
    assert (ROOT / "docs" / "configuration.md").read_text() == markdown()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (2.0, "2.0"),
        (0.25, "0.25"),
        ('a"\\\n', '"a\\"\\\\\\u000a"'),
        ((1, "x"), '[1, "x"]'),
    ],
)
def test_values(value: object, text: str) -> None:
    assert toml_value(value) == text
