"""What is said on `control.sock`: requests and answers, one line of JSON each. Floor 1; no I/O.

The control process listens; strategies, the facade and the command line ask. A connection begins
with `Hello`, and then says what this client wants: `Declare` replaces its whole demand, the others
change it. The demand lives as long as the connection and a grace, unless it is `durable`. Every
request is answered in order, by `Answer`, with the request's `id`.

Instruments are tokens or any of the names that `pipeline.instruments` knows; answers about them say
in `tokens` what each name stands for.
"""

from __future__ import annotations

import signal
from typing import Any, Final, Literal

import msgspec

from pipeline.core.enums import Mode

#: Longer lines are refused: 100,000 instruments with names take about 3 MiB.
LINE_BYTES_MAX: Final = 16 * 2**20

#: A request names no more than these, or than the pool can carry, if that is more.
INSTRUMENTS_MAX: Final = 100_000

#: By this signal the supervisor is told that the topology table has changed; the table says how.
TOPOLOGY_CHANGED: Final = signal.SIGUSR1

MODES: Final = {"ltp": Mode.LTP, "quote": Mode.QUOTE, "full": Mode.FULL}

#: What scale takes instead of a number.
AUTOMATIC: Final = "auto"

Instrument = int | str


class Request(msgspec.Struct, kw_only=True, tag_field="do", forbid_unknown_fields=True):
    """What all requests have; `id` comes back in the answer."""

    id: int = 0


class Hello(Request, tag="hello"):
    """Who this is. `durable`: what it wants outlives it (a command line that ends at once).

    `owner`: on whose connections its wishes are carried, and whom its questions are about. Needed
    for wishes where accounts have several owners; questions without one are about everybody.
    """

    client: str
    pid: int = 0
    durable: bool = False
    owner: str | None = None


class Declare(Request, tag="declare"):
    """All that the client wants, by mode: `{"full": [408065], "quote": [...]}`.

    `follow`: the forms with `atm` that follow their underlying, by mode in the same way.
    """

    wants: dict[str, list[Instrument]]
    follow: dict[str, list[str]] = {}


class Subscribe(Request, tag="subscribe"):
    """More that the client wants, or in another mode.

    `partial`: take what there is room for; without it a request is taken whole or not at all.
    `dry_run`: only say what would be. `priority`: critical, hot, warm or cold. `account`: only
    there. `group`: all on one connection, by the policies that know groups. `follow`: forms with
    `atm` become windows, which move with their underlying until they are given up.
    """

    instruments: list[Instrument]
    mode: str = "quote"
    partial: bool = False
    dry_run: bool = False
    priority: str = "warm"
    account: str | None = None
    connection: int | None = None
    group: str | None = None
    follow: bool = False


class Unsubscribe(Request, tag="unsubscribe"):
    """What the client does not want any more; others may go on wanting it."""

    instruments: list[Instrument]


class SetMode(Request, tag="mode"):
    """Another mode for what the client wants; what it does not want is left out."""

    instruments: list[Instrument]
    mode: str


class Ask(Request, tag="ask"):
    """A question: stats, health, alerts, clients, subscriptions, windows, distribution, and what
    limits the broker's REST has.

    `account`: its stats alone. Of subscriptions and windows: `client` those of one client. Of
    subscriptions: `limit` so many at most (0 = all), `after` those with a higher token.
    """

    about: str
    account: str | None = None
    client: str | None = None
    after: int = 0
    limit: int = 0


class Act(Request, tag="act"):
    """Something to do with the pool: rebalance, scale, recycle, drain; enter, for an address
    that lets a browser in once.

    `connection`: which one; `connections`: how many there shall be at least, for scale, which holds
    until another number is said, or "auto": as many as are needed. `account`: whose data the
    browser is shown, for enter; or, for recycle, all of its connections, one after the other.
    """

    action: str
    connection: int | None = None
    connections: int | Literal["auto"] | None = None
    dry_run: bool = False
    account: str | None = None


AnyRequest = Hello | Declare | Subscribe | Unsubscribe | SetMode | Ask | Act


class Problem(msgspec.Struct, kw_only=True):
    """Why a request was refused.

    `code`: bad_request, unknown_instrument, capacity, not_found, conflict or unavailable. The
    text is for a person; `detail` has the numbers.
    """

    code: str
    text: str
    detail: dict[str, Any] = {}


class Answer(msgspec.Struct, kw_only=True):
    """The answer to the request of that `id`: a result, or a problem and then nothing changed."""

    id: int = 0
    result: Any = None
    problem: Problem | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode_request: Final = msgspec.json.Decoder(AnyRequest).decode
_decode_answer: Final = msgspec.json.Decoder(Answer).decode


def to_line(message: AnyRequest | Answer) -> bytes:
    """Return a message as it is sent."""
    return _encode(message) + b"\n"


def read_request(line: bytes) -> AnyRequest:
    """Return the request of a line; raise ValueError saying what is wrong with it."""
    request: AnyRequest = _decode_request(line)
    return request


def read_answer(line: bytes) -> Answer:
    """Return the answer of a line; raise ValueError when it is none."""
    answer: Answer = _decode_answer(line)
    return answer


def mode_of(word: str) -> Mode:
    """Return a mode by its name; raise ValueError naming those that there are."""
    if not isinstance(word, str) or word not in MODES:  # callers swap it with the instruments
        raise ValueError(f"mode {str(word)[:40]!r}: expected {', '.join(MODES)}")
    return MODES[word]
