"""Every section of a config file and every key in it, with its default, bounds and meaning.

Floor 1. These are the raw values, as the file gives them; what follows from them together (who
gets which instrument, how large each segment is) is in `pipeline.core.plan`. All are frozen, so
that the children inherit by fork exactly what was checked.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pipeline.core.config.fields import (
    AnyTable,
    Day,
    Flag,
    FreeTable,
    InstrumentForm,
    Integer,
    ListOf,
    Number,
    Text,
    TimeOfDay,
    Word,
    key,
    table,
    tables,
)
from pipeline.core.instruments import SIMULATED_INSTRUMENTS_MAX
from pipeline.core.secrets import SecretReference, parse_reference

NAME_PATTERN: Final = "[a-z0-9-]{1,32}"
NAME_ALLOWED: Final = "1 to 32 of a-z, 0-9 and -"
#: "strategy" and a name share the 32 bytes of a process's name.
STRATEGY_NAME_MAX: Final = 23
STRATEGY_NAME_PATTERN: Final = f"[a-z0-9-]{{1,{STRATEGY_NAME_MAX}}}"
STRATEGY_NAME_ALLOWED: Final = f"1 to {STRATEGY_NAME_MAX} of a-z, 0-9 and -"
#: Whose accounts are that name no owner.
DEFAULT_OWNER: Final = "default"
#: What the supervisor hosts where there is a [zeromq] section.
BRIDGE_ENTRY: Final = "pipeline.services.bridge.hosted:Bridge"
_IDENTIFIER: Final = r"[^\W\d]\w*"
_DOTTED: Final = rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*"
SIMULATOR_URL: Final = "simulator"
#: In the handshake with a simulated exchange: which connection this is, for its truth log.
SIMULATOR_CONNECTION_HEADER: Final = "X-Pipeline-Connection"
SIMULATOR_KEYS: Final = ("demo", "demo2", "demo3")
TOKEN_HINT: Final = (
    "keep the token in a file of its own (umask 077; cat > kite-token) "
    'and name that: access_token = "file:kite-token"'
)
#: `first_fit` packs, `least_loaded` and `round_robin` spread; the others look at more than counts.
POOL_POLICIES: Final = (
    "first_fit", "round_robin", "least_loaded", "weighted", "hash", "latency", "class_route",
)  # fmt: skip
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_MIB: Final = 2**20
_PATH: Final = Text(r"[^\0]+", "a path, relative to this file")


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceConfig:
    """Who this pipeline is, and how it behaves as a whole."""

    name: str = key(
        Text(NAME_PATTERN, NAME_ALLOWED),
        "readers attach by this name; two instances need two names",
        default="demo",
    )
    shm_directory: str = key(
        Text(r"/[^\0]*", "an absolute path"),
        "where the segments are made, in pipeline-<uid>/<name>",
        default="/dev/shm",
    )
    log_level: str = key(
        Word(("debug", "info", "warning", "error")), "least level that is logged", default="info"
    )
    log_format: str = key(
        Word(("text", "json")), "lines for people or for machines", default="text"
    )
    drain_timeout_s: float = key(
        Number(0, 60), "how long an orderly end waits for the decoders to catch up", default=2.0
    )
    exit_on_auth: bool = key(
        Flag(), "end with exit code 77 when a token is rejected, instead of waiting", default=False
    )
    assignment: str = key(
        Word(("config", "facade")),
        "who says what is streamed: [[subscription]], or the KiteTicker that starts this instance",
        default="config",
    )


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
            rf"{SIMULATOR_URL}|wss://[^\s?#@]+|ws://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/[^\s?#]*)?",
            f'"{SIMULATOR_URL}", a wss:// address without query, or ws:// on loopback',
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
        _PATH, "certificates to trust instead of the system's", default=None, example="ca.pem"
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
        Integer(64 * 1024, 2**40), "overrides [rings]", default=None, example=8 * _MIB
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
        _PATH, "a text file with an instrument on each line", default=None, example="tokens.txt"
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
    #: What the three come to, once read.
    tokens: tuple[int, ...] = dataclasses.field(default=(), repr=False)
    #: With names among them: all as they are written, until `resolve_config` makes them tokens.
    forms: tuple[int | str, ...] = dataclasses.field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class InstrumentsConfig:
    """The list in which names such as NSE:INFY are looked up; `instruments sync` makes it."""

    file: str | None = key(
        _PATH,
        "where it is; if absent, where `instruments sync` puts it",
        default=None,
        example="instruments.sqlite",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class StrategyConfig:
    """A class of yours that the supervisor runs in a process of its own; numbered in file order."""

    name: str | None = key(
        Text(STRATEGY_NAME_PATTERN, STRATEGY_NAME_ALLOWED),
        "what it is called in logs and tables; if absent, after its class",
        default=None,
        example="averages",
    )
    entry: str = key(
        Text(rf"{_DOTTED}:{_IDENTIFIER}", '"module:Class", as Python writes the two'),
        "the class; its module is looked for in this file's folder first, then as Python does",
        example="moving_average:MovingAverage",
    )
    params: FreeTable = key(
        AnyTable(), "keyword arguments of its __init__", default=FreeTable(), example={"window": 20}
    )
    slow: str = key(
        Word(("resume", "skip", "raise")),
        "when it was too slow: go on at the oldest that is left, at the newest, or start it anew",
        default="resume",
    )
    owner: str | None = key(
        Text(NAME_PATTERN, NAME_ALLOWED),
        "it sees this owner's connections alone, and subscribes on them; if absent it sees all",
        default=None,
        example="alice",
    )
    report_after_s: float = key(
        Number(0.1, 86_400), "a callback that takes longer is reported, never killed", default=3.0
    )

    @property
    def label(self) -> str:
        """`name`, or one made of the class's: MovingAverage becomes moving-average."""
        if self.name is not None:
            return self.name
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", "-", self.entry.rpartition(":")[2]).lower()
        kept = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
        return kept[:STRATEGY_NAME_MAX].strip("-") or "strategy"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedConfig:
    """How a feed process treats its socket."""

    connect_timeout_s: float = key(
        Number(0.1, 120), "total for resolving, connecting, TLS and handshake", default=10.0
    )
    ping_after_s: float = key(Number(0.05, 600), "silence before a ping", default=3.0)
    stall_after_s: float = key(
        Number(0.1, 600), "silence before the connection counts as dead", default=4.5
    )
    quiet_after_s: float = key(
        Number(0.1, 3600),
        "time with heartbeats but no tick until a connection is QUIET and subscribes once more; "
        "at three times this, if that was not answered by any tick, it reconnects",
        default=10.0,
    )
    frame_deadline_s: float = key(
        Number(0.1, 600), "most time from a frame's first byte to its last", default=10.0
    )
    send_timeout_s: float = key(
        Number(0.1, 120), "most time that the socket may refuse our bytes", default=5.0
    )
    backoff_min_s: float = key(
        Number(0.001, 600), "first reconnect within this time, at random", default=0.25
    )
    backoff_max_s: float = key(Number(0.001, 3600), "and never later than this", default=30.0)
    backoff_reset_s: float = key(
        Number(0.1, 3600), "health that makes the next reconnect a first one again", default=30.0
    )
    receive_buffer_bytes: int = key(
        Integer(16 * 1024, 64 * _MIB), "what one read of the socket takes at most", default=262_144
    )
    spin_us: int = key(Integer(0, 10_000), "busy waiting before the socket is slept on", default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderConfig:
    """The processes that turn frames into ticks."""

    count: int = key(Integer(1, 256), "how many; connections choose one by number", default=1)
    spin_us: int = key(Integer(0, 10_000), "busy waiting before sleeping on the bell", default=0)
    catch_up_age_ms: int = key(
        Integer(1, 60_000), "older frames than this are published at a limited pace", default=100
    )
    catch_up_ticks: int = key(
        Integer(256, 2**24), "that pace: so many ticks of a stream", default=4096
    )
    catch_up_interval_ms: int = key(Integer(1, 1000), "in so much time", default=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """Connections that come and go with what is wanted; with this section, no [[connection]]."""

    policy: str = key(
        Word(POOL_POLICIES),
        "which connection a new instrument goes to",
        default="least_loaded",
    )
    open: str = key(
        Word(("lazy", "all")),
        "lazy: a connection is opened when the others are full; all: all of them at the start",
        default="lazy",
    )
    connections_per_key: int | None = key(
        Integer(1, 256),
        "most connections of one API key; if absent, the broker's limit",
        default=None,
        example=3,
    )
    instruments_per_connection: int | None = key(
        Integer(1, 65_535),
        "most instruments of one; if absent, the broker's limit",
        default=None,
        example=3000,
    )
    redistribute_after_s: float = key(
        Number(0, 3600), "outage before its instruments move to other connections", default=3.0
    )
    rebalance_after_s: float = key(
        Number(0, 86_400), "health before instruments move to a connection again", default=60.0
    )
    moves_per_s: float = key(
        Number(0.1, 100_000), "instruments moved a second to restore the balance", default=200.0
    )
    confirm_after_s: float = key(
        Number(0.1, 3600), "time without a first packet that makes an instrument unconfirmed",
        default=10.0,
    )  # fmt: skip
    linger_s: float = key(Number(0, 86_400), "how long a client's wishes outlive it", default=30.0)
    headroom: float = key(
        Number(0, 1), "open another connection when less than this part is free", default=0.05
    )
    shrink_after_s: float = key(
        Number(0, 86_400), "close a connection that was not needed for so long; 0: never",
        default=600.0,
    )  # fmt: skip
    warm_connections: int = key(
        Integer(0, 256), "connections kept open while nothing is wanted", default=0
    )
    warm_at: datetime.time | None = key(
        TimeOfDay(),
        "keep them for an hour from then on each day, in India's time; if absent always",
        default=None,
        example=datetime.time(9, 0),
    )
    homes_file: str | None = key(
        _PATH,
        "where it is kept which account carried an instrument last; if absent in the data folder",
        default=None,
        example="homes.sqlite",
    )
    recycle_after_s: float = key(
        Number(0, 10_000_000), "replace a connection of that age; 0: at no age", default=0.0
    )
    min_health: float = key(
        Number(0, 100), "a connection below this score gets no new instruments", default=30.0
    )
    window_check_s: float = key(
        Number(0.1, 86_400), "how often a window that follows its underlying looks at the price",
        default=60.0,
    )  # fmt: skip
    window_move: float = key(
        Number(0, 1_000_000), "it moves when the strike at the money is so far away, in points",
        default=100.0,
    )  # fmt: skip
    window_move_strikes: int | None = key(
        Integer(1, 1000), "or so many listed strikes away; if given, points do not count",
        default=None,
        example=2,
    )  # fmt: skip
    window_interval_s: float = key(
        Number(0, 86_400), "least time between two moves of a window", default=300.0
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiConfig:
    """The control process over HTTP; with this section it listens. Needs the extra `api`."""

    host: str = key(
        Text(r"[0-9A-Za-z.:-]{1,255}", "a host name or an address"),
        "where to listen; beyond loopback the token and all else travel unencrypted",
        default="127.0.0.1",
    )
    port: int = key(Integer(0, 65_535), "0 takes a free one, which the log tells", default=8080)
    hosts: tuple[str, ...] = key(
        ListOf(Text(r"[0-9A-Za-z.:-]{1,255}", "a host name or an address"), 100, 0),
        "names that browsers may call it by, beside localhost and addresses",
        default=(),
        example=("feed.example.com",),
    )
    changes_per_s: float = key(
        Number(0.1, 100_000), "requests that change something, of all callers together; more: 429",
        default=20.0,
    )  # fmt: skip
    questions_per_s: float = key(
        Number(0.1, 100_000), "requests below /api/v1 with one API key; more: 429", default=50.0
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayConfig:
    """The WebSocket server for OpenAlgo clients; with this section it runs. Extra: `gateway`."""

    host: str = key(
        Text(r"[0-9A-Za-z.:-]{1,255}", "a host name or an address"),
        "where to listen; beyond loopback only with allow_insecure",
        default="127.0.0.1",
    )
    port: int = key(Integer(0, 65_535), "0 takes a free one, which the log tells", default=8765)
    allow_insecure: bool = key(
        Flag(), "listen beyond loopback, where keys and data travel unencrypted", default=False
    )
    keys_file: str | None = key(
        _PATH,
        "the API keys that `gateway key` makes; if absent in the data folder",
        default=None,
        example="keys.sqlite",
    )
    throttle_ms: int = key(
        Integer(0, 60_000),
        "send each instrument and mode to a client once in so long, always the newest; 0: each",
        default=0,
    )
    snapshot: bool = key(
        Flag(), "send the last known tick right after an instrument is subscribed to", default=False
    )
    linger_s: float = key(
        Number(0, 86_400), "how long an instrument stays wanted without a client", default=30.0
    )
    connections_max: int = key(
        Integer(1, 100_000), "most connections, of all clients", default=4096
    )
    connections_per_address: int = key(
        Integer(1, 100_000), "most of one address that is neither loopback nor trusted", default=256
    )
    unauthenticated_max: int = key(
        Integer(1, 100_000), "most connections that have not authenticated yet", default=256
    )
    unauthenticated_per_address: int = key(
        Integer(1, 100_000), "of one address that is neither loopback nor trusted", default=10
    )
    authenticate_within_s: float = key(
        Number(0.1, 3600), "then a connection that has not is closed, code 4401", default=15.0
    )
    instruments_max: int = key(
        Integer(1, 1_000_000), "most subscriptions of one connection, by instrument", default=5000
    )
    early_message_bytes: int = key(
        Integer(256, 64 * _MIB), "longest message before authentication", default=4096
    )
    early_messages_max: int = key(
        Integer(1, 10_000), "most messages that wait for an authentication", default=64
    )
    message_bytes: int = key(
        Integer(256, 64 * _MIB), "longest message after it; longer: code 1009", default=_MIB
    )
    messages_per_s: int = key(
        Integer(1, 1_000_000), "a client's messages beyond this rate are read later", default=50
    )
    messages_burst: int = key(Integer(1, 1_000_000), "so many may come at once first", default=1000)
    errors_per_minute: int = key(
        Integer(1, 1_000_000), "more mistakes of a client: code 1008", default=20
    )
    key_failures_delay: int = key(
        Integer(1, 1_000_000), "so many wrong keys a minute of one address slow it down", default=5
    )
    key_failures_ban: int = key(Integer(1, 1_000_000), "and so many keep it out", default=20)
    ban_s: float = key(Number(1, 86_400), "for so long", default=900.0)
    origins: tuple[str, ...] = key(
        ListOf(Text(r"https?://[^\s/]+|null", "an origin such as https://charts.example"), 1000, 0),
        "web pages that may connect, besides those of loopback; programs send no origin",
        default=(),
    )
    hosts: tuple[str, ...] = key(
        ListOf(Text(r"[0-9A-Za-z.:\[\]-]{1,255}", "a host name, with or without a port"), 1000, 0),
        "names that a client may have used in its address, besides those of loopback and `host`",
        default=(),
    )
    trusted_proxies: tuple[str, ...] = key(
        ListOf(
            Text(r"[0-9A-Fa-f.:/]{2,64}", "an address, or a network such as 10.0.0.0/8"), 1000, 0
        ),
        "reverse proxies: what they say in X-Forwarded-For is who the client is",
        default=(),
    )
    ping_after_s: float = key(Number(0.05, 3600), "silence before a ping", default=20.0)
    silent_after_s: float = key(
        Number(0.05, 3600), "time from then until a client that says nothing is cut", default=20.0
    )
    stalled_after_s: float = key(
        Number(0.1, 3600), "time without taking a byte that waits for it until it is cut",
        default=4.0,
    )  # fmt: skip
    socket_bytes: int = key(
        Integer(4096, 64 * _MIB), "what the system keeps for a client that reads slowly",
        default=64 * 1024,
    )  # fmt: skip
    buffer_bytes: int = key(
        Integer(4096, 64 * _MIB),
        "what is kept beyond that; then only the newest of each instrument and mode",
        default=64 * 1024,
    )
    backlog_bytes: int = key(
        Integer(64 * 1024, 1024 * _MIB), "answers that are not fetched, until it is cut",
        default=_MIB,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ZeroMqConfig:
    """Publish ticks to an OpenAlgo that runs already; a process of its own. Needs `zeromq`."""

    endpoint: str = key(
        Text(
            r"tcp://[^\s/:]+:\d{1,5}|tcp://\[[0-9a-fA-F:]+\]:\d{1,5}|ipc://[^\0]+",
            "tcp://HOST:PORT or ipc://PATH",
        ),
        "where its proxy listens; nobody is asked for a key there",
        default="tcp://127.0.0.1:5555",
    )
    owner: str | None = key(
        Text(NAME_PATTERN, NAME_ALLOWED),
        "whose ticks and orders go out, as no topic tells users apart; needed with several owners",
        default=None,
        example="default",
    )
    user: str = key(
        Text(r"[\x21-\x7e]{0,64}", "a name without blanks, or nothing"),
        "what OpenAlgo calls that owner; without it no order updates are published",
        default="",
    )
    high_water_mark: int = key(
        Integer(1, 1_000_000),
        "messages that wait for a slow proxy; more are dropped, and counted",
        default=1000,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RingsConfig:
    """Sizes in shared memory, per connection; nothing shrinks by itself."""

    packets_per_instrument_per_s: float = key(
        Number(0.01, 100_000), "expected rate, for the sizes below", default=2.0
    )
    seconds: float = key(
        Number(0.1, 3600), "how much of the feed the frame ring holds", default=4.0
    )
    frame_bytes: int | None = key(
        Integer(64 * 1024, 2**40),
        "the frame ring's bytes; if absent, seconds x rate x 192",
        default=None,
        example=8 * _MIB,
    )
    tick_records: int = key(
        Integer(1024, 2**32), "the tick stream's length, 320 bytes each", default=16_384
    )
    event_records: int = key(
        Integer(512, 2**24), "the event stream's length, 64 bytes each", default=4096
    )
    order_bytes: int = key(Integer(4096, 2**32), "the order ring's bytes", default=_MIB)
    text_bytes: int = key(Integer(4096, 2**32), "the text ring's bytes", default=256 * 1024)


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorConfig:
    """How the supervisor treats processes that die or hang."""

    hang_timeout_s: float = key(
        Number(0.2, 600), "time without a heartbeat before a process is killed", default=3.0
    )
    restart_backoff_s: tuple[float, ...] = key(
        ListOf(Number(0, 600), 20),
        "pauses before the successors of a process that died by its own fault",
        default=(0.0, 0.1, 0.5, 2.0, 10.0),
    )
    strategy_stop_s: float = key(
        Number(0, 600),
        "at the end: time from SIGTERM until a hosted strategy is killed",
        default=3.0,
    )
    circuit_deaths: int = key(
        Integer(1, 1000), "so many such deaths within the window open the circuit", default=5
    )
    circuit_window_s: float = key(Number(1, 86_400), "the window", default=60.0)
    circuit_retry_s: float = key(
        Number(0.1, 86_400), "pause between tries while the circuit is open", default=60.0
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerRestConfig:
    """Calls of the broker's REST: quotes, the instrument list, the login. All are rate-limited."""

    limits_file: str | None = key(
        _PATH,
        "numbers that replace those of `limits`; read again when it changes",
        default=None,
        example="limits.toml",
    )
    timeout_s: float = key(Number(0.1, 120), "most time that an answer may take", default=7.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatorConfig:
    """The simulated exchange; with this section the supervisor starts one."""

    port: int = key(Integer(0, 65_535), "on loopback; 0 takes a free one", default=0)
    instruments: int = key(Integer(1, SIMULATED_INSTRUMENTS_MAX), "how many it lists", default=9000)
    rate: float | str = key(
        Number(0, 100_000_000, word="max"), "packets per second, of all together", default=18_000.0
    )
    mode: str = key(
        Word(("real-time", "load")),
        "real-time: conflated frames, as the broker; load: no conflation, at the given rate",
        default="real-time",
    )
    packets_per_frame: int = key(Integer(1, 3000), "load: packets in a frame", default=100)
    interval_s: float = key(
        Number(0.001, 60), "real-time: time between two frames of a connection", default=1.0
    )
    gate: str = key(
        Text(rf"|{NAME_PATTERN}", f"a reader's name ({NAME_ALLOWED}), or nothing"),
        "load: never be ahead of this reader by more than half a tick stream",
        default="",
    )
    heartbeat_s: float = key(
        Number(0.01, 60), "silence after which a connection gets a heartbeat", default=1.0
    )
    connection_limit: int = key(
        Integer(1, 1000), "connections that one API key may have", default=3
    )
    limit_policy: str = key(
        Word(("refuse", "evict", "soft")),
        "one connection more gets 429, takes the place of the oldest, or is let in",
        default="refuse",
    )
    seed: int = key(Integer(0, 2**63 - 1), "prices, sizes and faults follow from it", default=1)
    faults: str | None = key(_PATH, "a script of faults", default=None, example="faults.toml")
    truth: str | None = key(_PATH, "where to log what was sent", default=None, example="truth.bin")
    tls_certificate: str | None = key(
        _PATH,
        "PEM, for localhost: speak wss; its accounts trust it if they name no ca_file",
        default=None,
        example="localhost.pem",
    )
    tls_key: str | None = key(
        _PATH, "the certificate's key, without a passphrase", default=None,
        example="localhost-key.pem",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A whole file, checked. Paths in it are relative to `folder`."""

    instance: InstanceConfig = table(InstanceConfig, "")
    session: SessionConfig = table(SessionConfig, "")
    accounts: tuple[AccountConfig, ...] = tables(AccountConfig, "", name="account")
    connections: tuple[ConnectionConfig, ...] = tables(ConnectionConfig, "", name="connection")
    subscriptions: tuple[SubscriptionConfig, ...] = tables(
        SubscriptionConfig, "", name="subscription"
    )
    instruments: InstrumentsConfig = table(InstrumentsConfig, "")
    strategies: tuple[StrategyConfig, ...] = tables(StrategyConfig, "", name="strategy")
    feed: FeedConfig = table(FeedConfig, "")
    decoder: DecoderConfig = table(DecoderConfig, "")
    rings: RingsConfig = table(RingsConfig, "")
    pool: PoolConfig | None = table(PoolConfig, "", optional=True, excludes=True)
    api: ApiConfig | None = table(ApiConfig, "", optional=True, excludes=True)
    gateway: GatewayConfig | None = table(GatewayConfig, "", optional=True, excludes=True)
    zeromq: ZeroMqConfig | None = table(ZeroMqConfig, "", optional=True)
    supervisor: SupervisorConfig = table(SupervisorConfig, "")
    broker_rest: BrokerRestConfig = table(BrokerRestConfig, "")
    simulator: SimulatorConfig | None = table(SimulatorConfig, "", optional=True)
    source: str = "(no file)"
    folder: Path = Path()

    def account(self, name: str) -> AccountConfig:
        """Return the account of that name; KeyError when there is none."""
        for account in self.accounts:
            if account.name == name:
                return account
        raise KeyError(name)

    @property
    def owners(self) -> tuple[str, ...]:
        """Return whose accounts there are, in the order of the file."""
        return tuple(dict.fromkeys(account.owner for account in self.accounts))

    def owner_of(self, subscription: SubscriptionConfig) -> str | None:
        """Return for whom a subscription is; None if it does not say and could be for several."""
        number = subscription.connection
        if subscription.owner is None and number is not None and number < len(self.connections):
            names = {account.name: account.owner for account in self.accounts}
            return names.get(self.connections[number].account)
        if subscription.owner is None and len(self.owners) == 1:
            return self.owners[0]
        return subscription.owner

    def decoders_of(self, owner: str) -> range:
        """Return the decoders that an owner's connections may have, in a pool.

        Connections of different owners share none, so that each owner's instruments are told
        apart from the same ones of another: every owner has every so many'th decoder.
        """
        return range(self.owners.index(owner), self.decoder.count, len(self.owners))

    def secret(self, account: AccountConfig) -> SecretReference:
        """Return where an account's token is kept; for a simulated exchange it is the key."""
        if account.access_token is None:
            return SecretReference("key", account.api_key)
        return parse_reference(account.access_token, self.folder)

    @property
    def hosted(self) -> tuple[StrategyConfig, ...]:
        """All that the supervisor hosts: the strategies, and behind them the ZeroMQ bridge."""
        bridge = self.zeromq
        if bridge is None:
            return self.strategies
        params = FreeTable(
            endpoint=bridge.endpoint,
            owner=bridge.owner or self.owners[0],
            user=bridge.user,
            high_water_mark=bridge.high_water_mark,
        )
        return (*self.strategies, StrategyConfig(name="zeromq", entry=BRIDGE_ENTRY, params=params))

    @property
    def instruments_file(self) -> Path | None:
        """Return the instrument list that the config names, None for the usual one."""
        name = self.instruments.file
        return None if name is None else self.path(name)

    def path(self, relative: str) -> Path:
        """Return a path of the file as one that can be opened."""
        return self.folder / relative
