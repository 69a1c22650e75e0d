"""The version of the distribution: the one place, which pyproject.toml reads too. Floor 1."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
