"""Sections about the instance and the processes that carry its ticks. Floor 1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pipeline.core.config.fields import (
    AnyTable,
    Flag,
    FreeTable,
    Integer,
    ListOf,
    Number,
    Text,
    Word,
    key,
)
from pipeline.core.config.terms import MIB, NAME_ALLOWED, NAME_PATTERN, PATH
from pipeline.core.instruments import SIMULATED_INSTRUMENTS_MAX
from pipeline.core.naps import NAP_US, NAP_US_MAX

#: "strategy" and a name share the 32 bytes of a process's name.
STRATEGY_NAME_MAX: Final = 23
STRATEGY_NAME_PATTERN: Final = f"[a-z0-9-]{{1,{STRATEGY_NAME_MAX}}}"
STRATEGY_NAME_ALLOWED: Final = f"1 to {STRATEGY_NAME_MAX} of a-z, 0-9 and -"
#: Two seconds: longer than any processor takes to wake up.
CPU_LATENCY_US_MAX: Final = 2_000_000
_NAPS: Final = (
    "while it is woken 50 to some 3,000 times a second, it also wakes by itself whenever so long "
    "has passed, so that its core is never idle for long; 0: it does not"
)
_IDENTIFIER: Final = r"[^\W\d]\w*"
_DOTTED: Final = rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*"


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
    cpu_dma_latency_us: int | None = key(
        Integer(0, CPU_LATENCY_US_MAX),
        "idle processors are to wake up within so long while it runs, 0: they never halt; costs "
        "power and needs /dev/cpu_dma_latency and a kernel with a cpuidle driver; if absent "
        "nothing is asked of them",
        default=None,
        example=0,
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
    nap_us: int = key(Integer(0, NAP_US_MAX), _NAPS, default=NAP_US)
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
        Integer(16 * 1024, 64 * MIB), "what one read of the socket takes at most", default=262_144
    )
    spin_us: int = key(Integer(0, 10_000), "busy waiting before the socket is slept on", default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderConfig:
    """The processes that turn frames into ticks."""

    count: int = key(Integer(1, 256), "how many; connections choose one by number", default=1)
    spin_us: int = key(Integer(0, 10_000), "busy waiting before sleeping on the bell", default=0)
    nap_us: int = key(Integer(0, NAP_US_MAX), _NAPS, default=NAP_US)
    catch_up_age_ms: int = key(
        Integer(1, 60_000), "older frames than this are published at a limited pace", default=100
    )
    catch_up_ticks: int = key(
        Integer(256, 2**24), "that pace: so many ticks of a stream", default=4096
    )
    catch_up_interval_ms: int = key(Integer(1, 1000), "in so much time", default=5)
    raw_only: bool = key(
        Flag(), "decode nothing: there are raw frames, states and gaps, and no ticks", default=False
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
        example=8 * MIB,
    )
    tick_records: int = key(
        Integer(1024, 2**32), "the tick stream's length, 320 bytes each", default=16_384
    )
    event_records: int = key(
        Integer(512, 2**24), "the event stream's length, 64 bytes each", default=4096
    )
    order_bytes: int = key(Integer(4096, 2**32), "the order ring's bytes", default=MIB)
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
        "load: never be ahead of this reader by more than a quarter of a tick stream",
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
    faults: str | None = key(PATH, "a script of faults", default=None, example="faults.toml")
    truth: str | None = key(PATH, "where to log what was sent", default=None, example="truth.bin")
    tls_certificate: str | None = key(
        PATH,
        "PEM, for localhost: speak wss; its accounts trust it if they name no ca_file",
        default=None,
        example="localhost.pem",
    )
    tls_key: str | None = key(
        PATH, "the certificate's key, without a passphrase", default=None,
        example="localhost-key.pem",
    )  # fmt: skip
