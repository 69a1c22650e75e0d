"""A request that is not done: a code for programs, a sentence for people. Floor 4; no I/O."""

from __future__ import annotations

from typing import Any

from pipeline.core.control import Problem


class Refused(Exception):
    """A request that is not done; becomes the answer's problem."""

    def __init__(self, code: str, text: str, detail: dict[str, Any] | None = None) -> None:
        self.problem = Problem(code=code, text=text, detail=detail or {})
        super().__init__(text)
