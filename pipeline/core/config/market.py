"""Sections about the market: accounts, connections, subscriptions, hours, names, REST. Floor 1."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pipeline.core.config.fields import (
    Day,
    InstrumentForm,
    Integer,
    ListOf,
    Number,
    Text,
    TimeOfDay,
    Word,
    key,
    table,
)
from pipeline.core.config.terms import (
    DEFAULT_OWNER,
    MIB,
    NAME_ALLOWED,
    NAME_PATTERN,
    PATH,
    PRIORITIES,
    SIMULATOR_KEYS,
    SIMULATOR_URL,
    TOKEN_HINT,
)
from pipeline.core.instruments import SIMULATED_INSTRUMENTS_MAX

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True, slots=True)
class HoursConfig:
    """The exchange's hours, in India's time (+05:30, without daylight saving)."""

    days: tuple[str, ...] = key(
        ListOf(Word(("mon", "tue", "wed", "thu", "fri", "sat", "sun")), 7),
        "days of the week with a session",
        default=("mon", "tue", "wed", "thu", "fri"),
    )
    open: datetime.time = key(TimeOfDay(), "start of the session", default=datetime.time(9, 15))
    close: datetime.time = key(TimeOfDay(), "end of the session", default=datetime.time(15, 30))
    holidays: tuple[datetime.date, ...] = key(
        ListOf(Day(), 1000, 0), "days without a session", default=()
    )
    extra_days: tuple[datetime.date, ...] = key(
        ListOf(Day(), 1000, 0), "days with a session besides, such as a Saturday", default=()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionConfig:
    """When ticks are expected: outside, a feed with heartbeats alone is not QUIET but normal."""

    hours: HoursConfig | None = table(HoursConfig, "the exchange's hours", word="always")


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountConfig:
    """An API key at a broker."""

    name: str = key(Text(NAME_PATTERN, NAME_ALLOWED), "connections refer to it", example="main")
    broker: str = key(Word(("kite",)), "whose protocol it speaks", default="kite")
    url: str = key(
        Text(
            rf"{SIMULATOR_URL}|(wss://[^\s?#@]+|ws://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/[^\s?#]*)?)"
            r"(\?user_id=[A-Za-z0-9]{1,32})?",
            f'"{SIMULATOR_URL}", a wss:// address, or ws:// on loopback; no query but user_id',
        ),
        f'the feed\'s address; "{SIMULATOR_URL}" is the exchange of [simulator]',
        default="wss://ws.kite.trade",
    )
    api_key: str = key(
        Text(r"[\x21-\x7e]{1,128}", "1 to 128 printable characters without blanks", hidden=True),
        f"public part of the credentials; `sim` alone knows {', '.join(SIMULATOR_KEYS)}",
        example="your_api_key",
    )
    access_token: str | None = key(
        Text(
            r"file:[^\0]+|env:[A-Za-z_][A-Za-z0-9_]*",
            'a reference: "file:PATH" (mode 0600) or "env:NAME"',
            hidden=True,
            hint=TOKEN_HINT,
        ),
        "where the token is kept, read at each connect; not needed for the simulator",
        default=None,
        example="file:kite-token",
        essential=True,
    )
    api_secret: str | None = key(
        Text(
            r"file:[^\0]+|env:[A-Za-z_][A-Za-z0-9_]*",
            'a reference: "file:PATH" (mode 0600) or "env:NAME"',
            hidden=True,
        ),
        "where the API secret is kept; only `token login` reads it, and asks when it is absent",
        default=None,
        example="file:kite-secret",
    )
    owner: str = key(
        Text(NAME_PATTERN, NAME_ALLOWED),
        "whose it is: nothing of one owner's accounts reaches those who ask for another's",
        default=DEFAULT_OWNER,
    )
    user: str = key(
        Text(r"[\x21-\x7e]{0,64}", "a client ID, or nothing"),
        "whose key it is: some REST limits are a user's; those of nobody known count as one's",
        default="",
    )
    rest_url: str | None = key(
        Text(
            r"https://[^\s?#@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?",
            "an https:// address without query, or http:// on loopback",
        ),
        "the REST's address; if absent the broker's own, or that of the simulated exchange",
        default=None,
        example="https://api.kite.trade",
    )
    handshake_interval_s: float | None = key(
        Number(0, 3600),
        "least time between two handshakes of this key; if absent 1.0, or 0 with the simulator",
        default=None,
        example=1.0,
    )
    ca_file: str | None = key(
        PATH, "certificates to trust instead of the system's", default=None, example="ca.pem"
    )

    @property
    def simulated(self) -> bool:
        """Whether it is a simulated exchange on this host, whose token is the API key."""
        return self.url == SIMULATOR_URL or urlsplit(self.url).hostname in _LOOPBACK

    @property
    def handshake_spacing_s(self) -> float:
        """`handshake_interval_s`, or its default for this address."""
        if self.handshake_interval_s is not None:
            return self.handshake_interval_s
        return 0.0 if self.simulated else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionConfig:
    """A WebSocket connection, with a feed process of its own; numbered from 0 in file order."""

    account: str = key(Text(NAME_PATTERN, NAME_ALLOWED), "an [[account]]'s name", example="main")
    decoder: int = key(Integer(0, 255), "the decoder process that reads it", default=0)
    instruments_max: int = key(
        Integer(1, 65_535), "most instruments on it; sizes its segments", default=3000
    )
    frame_bytes: int | None = key(
        Integer(64 * 1024, 2**40), "overrides [rings]", default=None, example=8 * MIB
    )
    frame_records: int | None = key(
        Integer(1024, 2**32), "overrides [rings]", default=None, example=48_000
    )
    tick_records: int | None = key(
        Integer(1024, 2**32), "overrides [rings]", default=None, example=65_536
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedRange:
    """Instruments of the simulated exchange, by position in its list."""

    first: int = key(Integer(0, SIMULATED_INSTRUMENTS_MAX - 1), "position of the first", default=0)
    count: int = key(Integer(1, SIMULATED_INSTRUMENTS_MAX), "how many", example=3000)


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionConfig:
    """Instruments to stream; name them by exactly one of instruments, file, simulated."""

    instruments: tuple[int | str, ...] | None = key(
        ListOf(InstrumentForm(), 100_000),
        "tokens, or names that are looked up in [instruments] file at the start",
        default=None,
        example=[408065, 256265],
        essential=True,
    )
    file: str | None = key(
        PATH, "a text file with an instrument on each line", default=None, example="tokens.txt"
    )
    simulated: SimulatedRange | None = table(
        SimulatedRange, "a range of the simulated exchange's instruments", optional=True
    )
    mode: str = key(Word(("ltp", "quote", "full")), "how much of each", default="quote")
    connection: int | None = key(
        Integer(0, 255),
        "number of the connection; if absent, the first that has room",
        default=None,
        example=0,
    )
    owner: str | None = key(
        Text(NAME_PATTERN, NAME_ALLOWED),
        "whose connections are to carry it; needed with several owners, unless `connection` says",
        default=None,
        example="alice",
    )
    account: str | None = key(
        Text(NAME_PATTERN, NAME_ALLOWED),
        "with [pool], on this account's connections alone; needed with policy manual",
        default=None,
        example="main",
    )
    priority: str = key(
        Word(PRIORITIES), "with [pool], who is kept when room becomes short", default="warm"
    )
    group: str | None = key(
        Text(r"[ -~]{1,64}", "1 to 64 letters"),
        "with [pool] and the policies affinity and manual: all of a group on one connection",
        default=None,
        example="spread",
    )
    #: What the three come to, once read.
    tokens: tuple[int, ...] = dataclasses.field(default=(), repr=False)
    #: With names among them: all as they are written, until `resolve_config` makes them tokens.
    forms: tuple[int | str, ...] = dataclasses.field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class InstrumentsConfig:
    """The list in which names such as NSE:INFY are looked up; `instruments sync` makes it."""

    file: str | None = key(
        PATH,
        "where it is; if absent, where `instruments sync` puts it",
        default=None,
        example="instruments.sqlite",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerRestConfig:
    """Calls of the broker's REST: quotes, the instrument list, the login. All are rate-limited."""

    limits_file: str | None = key(
        PATH,
        "numbers that replace those of `limits`; read again when it changes",
        default=None,
        example="limits.toml",
    )
    timeout_s: float = key(Number(0.1, 120), "most time that an answer may take", default=7.0)
