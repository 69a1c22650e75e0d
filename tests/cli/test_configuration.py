"""Config files with the brokers' real limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.brokers.registry import broker_limits
from pipeline.cli.configuration import load_config
from pipeline.core.errors import ConfigError

EXAMPLES = Path(__file__).parents[2] / "examples" / "config"


def test_limits_come_from_the_brokers() -> None:
    assert broker_limits()["kite"] == (3000, 3)


def test_a_file_is_loaded_under_them(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    text = (EXAMPLES / "sim.toml").read_text()
    file.write_text(text)
    assert len(load_config(file).connections) == 3
    file.write_text(text + '[[connection]]\naccount = "exchange"\n')
    with pytest.raises(ConfigError, match="at most 3 for one API key"):
        load_config(file)


def test_the_file_of_limits_is_checked_with_it(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    text = (EXAMPLES / "sim.toml").read_text()
    file.write_text(text + '[broker_rest]\nlimits_file = "limits.toml"\n')
    with pytest.raises(ConfigError, match=r"limits\.toml: 1 problem\n  file: found No such file"):
        load_config(file)
    (tmp_path / "limits.toml").write_text("[rest.quote]\nrequests_per_second = 2\n")
    with pytest.raises(ConfigError, match=r"rest\.quote\.requests_per_second: found 2"):
        load_config(file)
    (tmp_path / "limits.toml").write_text("")
    assert load_config(file).broker_rest.limits_file == "limits.toml"
