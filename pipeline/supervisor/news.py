"""What a person who watches the log wants to hear of the connections as a whole. Floor 5.

Each feed tells its own story in its own lines; here it is said once when all are live, and again
when they are after an interruption.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Reason, State
from pipeline.shm.pages import StatusPage

_HEALTHY: Final = frozenset({State.LIVE, State.QUIET})
#: On their way out, and so nobody's news.
_ENDING: Final = frozenset({State.DRAINING, State.CLOSED})
_PATIENCE_NS: Final = 5 * NS_PER_S
_DESCRIBED_MAX: Final = 3

_log = logging.getLogger(__name__)


class ConnectionNews:
    """Tells when all connections are live, and who is missing when that takes long."""

    def __init__(self, pages: Sequence[StatusPage], now_ns: int) -> None:
        self._pages = pages
        self._since_ns = now_ns
        self.all_live = False
        self._complained = False

    def tell(self, now_ns: int) -> None:
        """Look at the pages, and log what changed."""
        pages = [page for page in self._pages if _state(page) not in _ENDING]
        if not pages:  # a pool from which nothing is wanted (yet)
            self.all_live, self._since_ns = False, now_ns
            return
        missing = [page for page in pages if _state(page) not in _HEALTHY]
        if not missing and not self.all_live:
            # The pages know it to the microsecond; this loop looks a few times a second.
            live_ns = max(int(page.head["state_since_mono_ns"]) for page in pages)
            took_s = max(0, min(now_ns, live_ns) - self._since_ns) / NS_PER_S
            count = len(pages)
            what = f"all {count} connections are" if count != 1 else "the connection is"
            _log.info(f"{what} live after {took_s:.2f} s")
        elif missing and self.all_live:
            self._since_ns = min(int(page.head["state_since_mono_ns"]) for page in missing)
            self._complained = False
        elif missing and not self._complained and now_ns - self._since_ns > _PATIENCE_NS:
            self._complained = True
            _log.warning(f"not live: {', '.join(map(_describe, missing))}")
        self.all_live = not missing


def status_line(pages: Sequence[StatusPage]) -> str:
    """Return in a line how many connections are live, and where the others stand."""
    missing = [page for page in pages if _state(page) not in _HEALTHY]
    text = f"{len(pages) - len(missing)} of {len(pages)} connections live"
    return f"{text}; {', '.join(map(_describe, missing[:_DESCRIBED_MAX]))}" if missing else text


def all_rejected(pages: Sequence[StatusPage]) -> bool:
    """Whether every connection waits for a new token."""
    return bool(pages) and all(_state(page) is State.AUTH_EXPIRED for page in pages)


def _state(page: StatusPage) -> State:
    return State(int(page.head["state"]))


def _describe(page: StatusPage) -> str:
    reason = Reason(int(page.head["reason"])).name
    return f"connection {int(page.head['number'])} ({_state(page).name}, {reason})"
