"""Where files lie that outlive an instance."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.folders import data_directory


def test_the_data_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/some/where")
    assert data_directory() == Path("/some/where/tickrail")
    for useless in ("", "relative"):  # the specification has relative ones ignored
        monkeypatch.setenv("XDG_DATA_HOME", useless)
        assert data_directory() == Path.home() / ".local/share/tickrail"
