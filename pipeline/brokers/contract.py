"""What a broker is to the rest of the pipeline. Floor 2; types only, no I/O.

A broker is a folder of small files: `wire` (constants and the readable decoder), `session` (what
is said on a connection), `symbols` (names and tokens), `limits` (read from `limits.toml`) and
`rest` (its own REST client behind our names and errors). Its `__init__` ties them into one
`Broker`; `registry.py` has one line for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from numpy.typing import NDArray

from pipeline.core.enums import Broker as BrokerCode
from pipeline.core.enums import Mode
from pipeline.core.instrument import Instrument, Skips
from pipeline.core.rates import RestLimits
from pipeline.core.secrets import Secret

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: What is (or shall be) subscribed on a connection: {instrument token: mode}.
Subscriptions = Mapping[int, Mode]


class MessageClass(Enum):
    """Which ring an incoming message belongs to."""

    DATA = "data"  # frames for the decoder, heartbeats too
    ORDER = "order"
    TEXT = "text"
    OWN = "own"  # the session's own: acknowledgements, application pongs


class TextKind(Enum):
    """What a text message turned out to be."""

    ORDER = "order"
    ERROR = "error"
    MESSAGE = "message"
    INSTRUMENTS_META = "instruments_meta"
    APP_CODE = "app_code"
    UNKNOWN = "unknown"  # an object of a type that we do not know, or without one
    INVALID = "invalid"  # no JSON object, or one that we do not unfold


class HttpMeaning(Enum):
    """What the answer to an opening handshake tells the feed to do."""

    CONNECTED = "connected"
    AUTH_REJECTED = "auth_rejected"  # no handshake until another token is there
    RATE_LIMITED = "rate_limited"  # wait as told, or long
    UNAVAILABLE = "unavailable"  # try again with back-off


@dataclass(frozen=True, kw_only=True, slots=True)
class TextMessage:
    """A parsed text message; `data` is None where it is missing, `problem` says why INVALID.

    `instruments_max` is the limit that an ERROR names which says that more were subscribed.
    """

    kind: TextKind
    type_name: str = ""
    data: Any = None
    problem: str = ""
    instruments_max: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Handshake:
    """How to open a connection. `url`, `headers` and `secrets` are never logged or shown."""

    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    redacted: str
    secrets: tuple[str, ...] = field(repr=False)
    redirect_limit: int = 0

    def scrub(self, text: str) -> str:
        """Return the text without our secrets, for an answer that echoes them into a log."""
        for secret in self.secrets:
            text = text.replace(secret, "***") if secret else text
        return text


class Command(NamedTuple):
    """One message to send, and what it leaves on the wire: MODE.NONE = unsubscribed."""

    payload: str
    wire: tuple[tuple[int, Mode], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """A broker's limits; `sources` names, for each, where the number comes from."""

    instruments_per_connection: int
    connections_per_key: int
    handshake_spacing_s: float
    tokens_per_command: int
    command_spacing_s: float
    heartbeat_s: float
    frame_bytes_max: int
    packets_per_frame_max: int
    text_parse_bytes_max: int
    text_depth_max: int
    sources: Mapping[str, str]


class Session(Protocol):
    """What is said on one connection; holds no state that a reconnect would have to clear."""

    def handshake(self, endpoint: str, *, api_key: str, access_token: str) -> Handshake:
        """Return the opening request for an endpoint such as `wss://host` or `ws://host:port`."""
        ...

    def commands(self, *, wanted: Subscriptions, on_wire: Subscriptions) -> Iterator[Command]:
        """Yield the messages that lead from `on_wire` to `wanted`, in sending order."""
        ...

    def classify(self, *, is_text: bool, payload: bytes) -> MessageClass:
        """Say where a whole message goes; looks no further than it must."""
        ...

    def parse_text(self, payload: bytes) -> TextMessage:
        """Parse a text message; whatever it holds, nothing is raised."""
        ...

    def http_meaning(self, status: int) -> HttpMeaning:
        """Say what an HTTP status in answer to the handshake means."""
        ...


class Login(NamedTuple):
    """What an exchanged request token gives: a day's access token, and whose it is."""

    access_token: Secret
    user_id: str
    user_name: str


class RestSession(Protocol):
    """A broker's REST for one API key: blocking, ungoverned, for one thread at a time.

    Every call raises AuthError, RateLimited, RequestError or UpstreamError, never anything with a
    secret in it. Instruments are named `NSE:INFY`; the answers are the broker's own.
    """

    def authorize(self, access_token: Secret | None) -> None:
        """Use this token from now on."""
        ...

    def quote(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: whole quote}; unknown instruments are left out."""
        ...

    def ohlc(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: last price and the day's four}."""
        ...

    def ltp(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: last price}."""
        ...

    def instruments(self, exchange: str | None) -> str:
        """Return the instrument list, of all exchanges for None, as CSV."""
        ...

    def profile(self) -> dict[str, Any]:
        """Return whose token this is."""
        ...

    def log_in(self, request_token: Secret, api_secret: Secret) -> Login:
        """Exchange a request token."""
        ...

    def log_out(self) -> None:
        """Make the token that is in use worthless."""
        ...

    def close(self) -> None:
        """Close the HTTP connections."""
        ...


class Rest(Protocol):
    """How a broker's REST is reached; what it needs is imported when the first session opens."""

    @property
    def endpoint(self) -> str:
        """Its own address, such as `https://host`."""
        ...

    def login_address(self, *, endpoint: str, api_key: str) -> str:
        """Return where a person logs in, to come back with a request token."""
        ...

    def request_token(self, text: str) -> str:
        """Return the request token that a pasted text is or, being an address, holds.

        Raises ValueError, without the text, when there is none in it.
        """
        ...

    def open(
        self, *, endpoint: str, api_key: str, timeout_s: float, ca_file: str | None = None
    ) -> RestSession:
        """Return a session at an address, for which no token is set yet.

        ca_file: certificates to trust instead of the system's.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Broker:
    """A broker's parts; `decode_frame` is the compiled decoder, `reference_decode` its twin.

    `packet_views`: arrays over the packets of a frame, as they lie there.
    """

    name: str
    code: BrokerCode
    endpoint: str
    limits: Limits
    rest_limits: RestLimits
    session: Session
    rest: Rest
    read_instruments: Callable[[Iterable[str], Skips | None], Iterator[Instrument]]
    decode_frame: Callable[..., NDArray[Any]]
    reference_decode: Callable[..., NDArray[Any]]
    packet_views: Callable[[Buffer], Iterator[NDArray[Any]]]
