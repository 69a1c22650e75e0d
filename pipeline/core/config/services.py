"""Sections about what serves others: the pool, its API, the gateway, the bus. Floor 1."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from typing import Final

from pipeline.core.config.fields import (
    Flag,
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
from pipeline.core.config.terms import MIB, NAME_ALLOWED, NAME_PATTERN, PATH, PRIORITIES

#: `first_fit` packs, `least_loaded` and `round_robin` spread; the others look at more than counts.
POOL_POLICIES: Final = (
    "first_fit", "round_robin", "least_loaded", "weighted", "hash", "latency", "affinity",
    "manual", "class_route",
)  # fmt: skip
#: How instruments are spread over accounts, before the policy chooses a connection.
POOL_SPREADS: Final = ("fill", "round_robin", "pooled", "class", "manual")
_ROUTE: Final = ListOf(Text(NAME_PATTERN, NAME_ALLOWED), 100, 0)
_PROXIES: Final = ListOf(
    Text(r"[0-9A-Fa-f.:/]{2,64}", "an address, or a network such as 10.0.0.0/8"), 1000, 0
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutesConfig:
    """Accounts or brokers that a class of instruments uses, in that order, and no others."""

    critical: tuple[str, ...] = key(_ROUTE, "of priority critical; empty: all", default=())
    hot: tuple[str, ...] = key(_ROUTE, "of priority hot", default=())
    warm: tuple[str, ...] = key(_ROUTE, "of priority warm, which is the usual one", default=())
    cold: tuple[str, ...] = key(_ROUTE, "of priority cold", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """Connections that come and go with what is wanted; with this section, no [[connection]]."""

    policy: str = key(
        Word(POOL_POLICIES),
        "which connection a new instrument goes to",
        default="least_loaded",
    )
    spread: str | None = key(
        Word(POOL_SPREADS),
        "how new instruments are spread over accounts; if absent, as suits the policy",
        default=None,
        example="round_robin",
    )
    routes: RoutesConfig | None = table(
        RoutesConfig, "where classes go, with policy class_route or spread class", optional=True
    )
    weights: tuple[float, ...] = key(
        ListOf(Number(0.01, 1000), 256, 0),
        "with policy weighted, shares of a key's connections in their order; 1 beyond the list",
        default=(),
        example=(1.0, 1.0, 0.5),
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
    mirror: tuple[int | str, ...] = key(
        ListOf(InstrumentForm(), 100_000, 0),
        "instruments that two connections carry at once, while somebody wants them; in any form",
        default=(),
        example=[256265, 260105],
    )
    mirror_priority: str | None = key(
        Word(PRIORITIES), "so do two carry all that is wanted at this priority, or a higher one",
        default=None,
        example="critical",
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
        PATH,
        "where it is kept which account carried an instrument last; if absent in the data folder",
        default=None,
        example="homes.sqlite",
    )
    recycle_after_s: float = key(
        Number(0, 10_000_000), "replace a connection of that age; 0: at no age", default=0.0
    )
    decoder_bytes_per_s: float | None = key(
        Number(1000, 1e12),
        "what a decoder can do, by `bench`; at 70 % of it another connection opens, beside another",
        default=None,
        example=100e6,
    )
    min_health: float = key(
        Number(0, 100),
        "a connection below this score gets new instruments when nothing else has room",
        default=30.0,
    )
    unhealthy_last: bool = key(
        Flag(), "false: it gets none even then; they wait for another one", default=True
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
    #: What `mirror` comes to; with names in it, once `resolve_config` has looked them up.
    mirror_tokens: tuple[int, ...] = dataclasses.field(default=(), repr=False)

    @property
    def mirror_names(self) -> tuple[str, ...]:
        """What of `mirror` has to be looked up."""
        return tuple(form for form in self.mirror if isinstance(form, str))


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
    trusted_proxies: tuple[str, ...] = key(
        _PROXIES,
        "reverse proxies: what they say in X-Forwarded-For is who asks",
        default=(),
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
        PATH,
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
        Integer(256, 64 * MIB), "longest message before authentication", default=4096
    )
    early_messages_max: int = key(
        Integer(1, 10_000), "most messages that wait for an authentication", default=64
    )
    message_bytes: int = key(
        Integer(256, 64 * MIB), "longest message after it; longer: code 1009", default=MIB
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
        _PROXIES,
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
        Integer(4096, 64 * MIB), "what the system keeps for a client that reads slowly",
        default=64 * 1024,
    )  # fmt: skip
    buffer_bytes: int = key(
        Integer(4096, 64 * MIB),
        "what is kept beyond that; then only the newest of each instrument and mode",
        default=64 * 1024,
    )
    backlog_bytes: int = key(
        Integer(64 * 1024, 1024 * MIB), "answers that are not fetched, until it is cut",
        default=MIB,
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
