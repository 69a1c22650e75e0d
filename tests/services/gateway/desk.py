"""A gateway with nothing behind it, and a client of it that keeps what it is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipeline.services.gateway.guard import Guard, Visit
from pipeline.services.gateway.limits import Limits
from pipeline.services.gateway.needs import Listed
from pipeline.services.gateway.session import Session
from pipeline.services.keys import Principal

START_NS = 1_000_000_000_000
WALL_NS = 1_767_584_700_123_000_000
KEY = "0123456789ab." + 64 * "5"
ALICE = Principal("0123456789ab", "alice", "main", "default")
NAMES = [
    ("NSE", "RELIANCE"),
    ("NSE", "INFY"),
    ("NSE", "TCS"),
    ("NSE", "M&M"),
    ("NSE_INDEX", "NIFTY"),
    ("NFO", "BANKNIFTY24APR24FUT"),
    ("NFO", "VEDL25APR24292.5CE"),
]


class FakeDesk:
    """Answers what it was told to, and writes down what it was asked."""

    def __init__(self) -> None:
        self.broker = "zerodha"
        self.brokers = ["zerodha"]
        self.status = "connected"
        self.keys = {KEY: ALICE}
        self.answers_at_once = True
        self.checking: list[tuple[Session, str]] = []
        self.listed = {name: Listed(i + 1, name[1], name[0]) for i, name in enumerate(NAMES)}
        self.refusals: dict[str, str] = {}
        self.without: dict[str, str] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.now_ns = START_NS

    def adapter_status(self, owner: str) -> str:
        assert owner
        return self.status

    def check_key(self, client: Session, key: str) -> None:
        if self.answers_at_once:
            client.key_checked(self.keys.get(key), self.now_ns)
        else:
            self.checking.append((client, key))

    def answer_keys(self, now_ns: int) -> None:
        """Do now what a thread would have done by now."""
        waiting, self.checking = self.checking, []
        for client, key in waiting:
            client.key_checked(self.keys.get(key), now_ns)

    def find(self, owner: str, exchange: str, symbol: str) -> Listed | None:
        assert owner
        return self.listed.get((exchange, symbol))

    def subscribe(self, client: Session, listed: Listed, mode: int) -> str | None:
        self.calls.append(("subscribe", listed.symbol, mode))
        return self.refusals.get(listed.symbol)

    def acknowledged(self, client: Session, accepted: Sequence[tuple[Listed, int]]) -> None:
        self.calls.append(("acknowledged", [(each.symbol, mode) for each, mode in accepted]))

    def refusal(self, owner: str, listed: Listed) -> str | None:
        return self.without.get(listed.symbol)

    def unsubscribe(self, client: Session, listed: Listed, mode: int | None) -> None:
        self.calls.append(("unsubscribe", listed.symbol, mode))

    def subscribe_orders(self, client: Session) -> None:
        self.calls.append(("subscribe_orders",))

    def unsubscribe_orders(self, client: Session) -> None:
        self.calls.append(("unsubscribe_orders",))


class Client:
    """One session with its desk, its clock and what was said to it."""

    def __init__(
        self,
        desk: FakeDesk | None = None,
        *,
        limits: Limits | None = None,
        guard: Guard | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.desk = desk or FakeDesk()
        self.now_ns = START_NS
        self.raw: list[bytes] = []
        self.closed: list[tuple[int, str]] = []
        self.limits = limits or Limits()
        visit = (guard or Guard(self.limits)).admit(address, self.now_ns)
        assert isinstance(visit, Visit)
        self.session = Session(
            self.desk,
            visit,
            say=self.raw.append,
            close=lambda code, reason: self.closed.append((code, reason)),
            limits=self.limits,
            now_ns=self.now_ns,
            wall_ns=lambda: WALL_NS,
        )

    def send(self, message: object) -> list[Any]:
        """Send a message (bytes as they are) and return what came back."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        before = len(self.raw)
        self.session.receive(payload, self.now_ns)
        self.finish()
        return [json.loads(each) for each in self.raw[before:]]

    def after(self, seconds: float) -> list[Any]:
        """Let time pass, then tick; return what was said."""
        before = len(self.raw)
        self.now_ns += round(seconds * 1e9)
        self.desk.now_ns = self.now_ns
        self.session.tick(self.now_ns)
        self.finish()
        return [json.loads(each) for each in self.raw[before:]]

    def finish(self) -> None:
        """Do what is done in parts to its end."""
        while self.session.has_more:
            self.session.proceed(self.now_ns)

    def authenticate(self) -> None:
        (answer,) = self.send({"action": "authenticate", "api_key": KEY})
        assert answer["status"] == "success", answer
