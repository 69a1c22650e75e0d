"""What a person should know of: since when, and since when no more. Floor 4; pure.

Alerts follow facts: a fact that holds opens one, and it is resolved when the fact holds no more.
Nobody has to acknowledge anything, and what comes back is a new alert.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

#: Resolved alerts that are kept; open ones are as many as there are facts.
RESOLVED_MAX: Final = 200


#: Kind, subject, owner.
FactKey = tuple[str, str, str]


class Severity(StrEnum):
    """How bad it is."""

    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Fact(NamedTuple):
    """Something that is not as it should be; `kind` and `subject` together say what.

    `owner`: of whose connections it tells; empty where that is everybody's.
    """

    kind: str
    subject: str
    severity: Severity
    text: str
    owner: str = ""

    @property
    def key(self) -> FactKey:
        """Which fact it is: it may come to have another text, or another severity."""
        return self.kind, self.subject, self.owner

    def is_for(self, owner: str | None) -> bool:
        """Whether it is told to an owner; None is told everything."""
        return not self.owner or owner in (None, self.owner)


@dataclass
class Alert:
    """A fact over time; times are UTC ns, `resolved_ts_ns` 0 while it holds."""

    number: int
    fact: Fact
    since_ts_ns: int
    resolved_ts_ns: int = 0

    def document(self) -> dict[str, Any]:
        """Return the alert in JSON's types."""
        return {
            "id": self.number,
            "kind": self.fact.kind,
            "subject": self.fact.subject,
            "severity": str(self.fact.severity),
            "text": self.fact.text,
            "since_ts_ns": self.since_ts_ns,
            "resolved": bool(self.resolved_ts_ns),
            "resolved_ts_ns": self.resolved_ts_ns or None,
        }


class Alerts:
    """The alerts of a pool; `tell` is called with each that opens or is resolved."""

    def __init__(self, tell: Callable[[Alert], None] = lambda _: None) -> None:
        self._tell = tell
        self._open: dict[FactKey, Alert] = {}
        self._resolved: deque[Alert] = deque(maxlen=RESOLVED_MAX)
        self._count = 0

    def follow(self, facts: Mapping[FactKey, Fact], now_ts_ns: int) -> None:
        """Take in all facts that hold now, by their keys."""
        for key in self._open.keys() - facts.keys():
            alert = self._open.pop(key)
            alert.resolved_ts_ns = now_ts_ns
            self._resolved.append(alert)
            self._tell(alert)
        for key, fact in facts.items():
            if key in self._open:
                self._open[key].fact = fact  # the same in other words, or with another number
                continue
            self._count += 1
            alert = self._open[key] = Alert(self._count, fact, now_ts_ns)
            self._tell(alert)

    @property
    def open(self) -> list[Alert]:
        """Those that hold, the oldest first."""
        return sorted(self._open.values(), key=lambda alert: alert.number)

    def document(self, owner: str | None = None) -> dict[str, Any]:
        """Return all alerts: open ones, then resolved ones, the newest first in each.

        owner: those of his connections and of everybody's alone.
        """
        resolved = sorted(self._resolved, key=lambda alert: -alert.resolved_ts_ns)
        found = {"open": reversed(self.open), "resolved": resolved}
        return {
            name: [alert.document() for alert in alerts if alert.fact.is_for(owner)]
            for name, alerts in found.items()
        }
