"""Calling user code that may raise: it is told, and costs nobody the connection. Floor 7."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from pipeline.core.clock import NS_PER_S, monotonic_ns

_TELL_NS: Final = NS_PER_S

_log = logging.getLogger("pipeline.kite")


class Guard:
    """`with guard("on_ticks"):` logs what is raised inside, with its traceback once a second.

    What is no Exception (SystemExit, KeyboardInterrupt) passes.
    """

    def __init__(self) -> None:
        self._name = ""
        self._next_ns = 0
        self._untold = 0

    def __call__(self, name: str) -> Guard:
        """Say whose code runs next."""
        self._name = name
        return self

    def __enter__(self) -> None:
        """Run the code."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:  # fmt: skip
        if not isinstance(error, Exception):
            return False
        now_ns = monotonic_ns()
        self._untold += 1
        if now_ns >= self._next_ns:
            times = "" if self._untold == 1 else f" ({self._untold} times since this was last told)"
            _log.error("%s raised; the stream goes on%s", self._name, times, exc_info=error)
            self._next_ns, self._untold = now_ns + _TELL_NS, 0
        return True


def call(guard: Guard, owner: object, name: str, *arguments: Any) -> None:
    """Call `owner.name(owner, *arguments)` if there is such a callback."""
    callback: Callable[..., object] | None = getattr(owner, name)
    if callback is not None:
        with guard(name):
            callback(owner, *arguments)
