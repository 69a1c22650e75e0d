"""Fixtures of the tests with foreign clients."""

from __future__ import annotations

from tests.system.conftest import make_run

__all__ = ["make_run"]
