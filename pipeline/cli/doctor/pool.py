"""What keeps a running pool from doing what is expected of it, and what mends it. Floor 6.

Three complaints are answered: it does not take more instruments, nothing ticks, ticks come late.
The facts are the control process's own alerts and statistics; here they get their remedies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.cli.control import NoPool, control_of
from pipeline.cli.doctor.finding import Finding, Level
from pipeline.core.errors import ControlUnavailable, InstanceError, RequestRefused

#: Of all that the keys carry so much is a warning, before anything is refused.
_FULL: Final = 0.8
#: A decoder that publishes later than this, one time in a hundred.
_LATE_US: Final = 10_000.0
#: What mends each kind of alert.
MENDS: Final[Mapping[str, str]] = {
    "orphans": "sub rm what nobody needs, add an [[account]] with another API key, or wait for a "
    "connection to come back: `pool stats` says which is down",
    "mirror_single": "add an [[account]] with another API key, or take some out of [pool] mirror; "
    "one that is down has its half again when it returns",
    "window_stuck": "make room for all of it, or see that its underlying is in the list and ticks",
    "over_limit": "lower [pool] instruments_per_connection to what the broker takes",
    "capacity": "lower [pool] instruments_per_connection to what the broker takes",
    "broker_error": "do what it says; `stat` counts how often it says so",
    "connection_missing": "the log says why; mostly /dev/shm is full: lower [rings], or make room",
    "connection_down": "see the network and the broker's status page; it goes on trying",
    "connection_hung": "none: it is killed and replaced; if it comes again, send the log",
    "token_rejected": "python -m pipeline token login --config FILE: a token is good for a day",
    "rate_limited": "wait; and let no other program connect with this API key, which has room for "
    "three connections",
    "circuit_open": "the log says what kills its feed; it is tried once a minute",
    "unconfirmed": "instruments show NAME says whether they are listed today; a quiet one ticks "
    "when it is traded",
    "decoder_lag": "raise [decoder] count, or give the machine another core",
    "decoder_overrun": "raise [decoder] count and [rings] seconds, or add another core",
    "decoder_hung": "none: it is killed and replaced; if it comes again, send the log",
}


def check(instance: str | None, root: Path) -> Iterator[Finding]:
    """Everything that an instance's pool suffers from."""
    try:
        with control_of(instance, root) as control:
            alerts = control.ask("alerts")["open"]
            stats = control.ask("stats")
    except NoPool as error:
        yield Finding(Level.OK, "pool", str(error))
    except ControlUnavailable as error:
        mend = "ticks go on; the log says what ends the control process"
        yield Finding(Level.BAD, "pool", str(error), mend)
    except (InstanceError, RequestRefused) as error:
        yield Finding(Level.BAD, "pool", str(error), "python -m pipeline stat shows what there is")
    else:
        yield from judge(alerts, stats)


def judge(alerts: list[Mapping[str, Any]], stats: Mapping[str, Any]) -> Iterator[Finding]:
    """Return what open alerts and the statistics come to."""
    found = [*_alerts(alerts), *_room(stats), *_delays(stats)]
    yield from found
    pool = stats["pool"]
    if not found:
        text = f"{pool['desired']:,} instruments wanted, {pool['confirmed']:,} have ticked"
        yield Finding(Level.OK, "pool", f"{text}; no alert is open")


def _alerts(alerts: list[Mapping[str, Any]]) -> Iterator[Finding]:
    for alert in alerts:
        level = Level.WARN if alert["severity"] == "warning" else Level.BAD
        mend = MENDS.get(alert["kind"], "docs/operations.md")
        yield Finding(level, f"pool, {alert['subject']}", f"{alert['kind']}: {alert['text']}", mend)


def _room(stats: Mapping[str, Any]) -> Iterator[Finding]:
    for name, account in stats["accounts"].items():
        limits = account.get("limits")
        if not limits or not limits["per_key"]:
            continue
        used = account["total_subscribed_tokens"] / limits["per_key"]
        if used >= _FULL:
            text = f"its API key carries {account['total_subscribed_tokens']:,} instruments of the "
            mend = "add an [[account]] with another API key before more are needed"
            yield Finding(
                Level.WARN,
                f"pool, account {name}",
                f"{text}{limits['per_key']:,} that it may",
                mend,
            )


def _delays(stats: Mapping[str, Any]) -> Iterator[Finding]:
    for decoder in stats.get("decoders", ()):
        late_us = decoder["receive_to_publish_us"]["p99"]
        if late_us > _LATE_US:
            text = f"one tick in a hundred is published {late_us / 1000:.0f} ms after it came"
            mend = "raise [decoder] count, or give the machine another core: `bench` measures it"
            yield Finding(Level.WARN, f"pool, decoder {decoder['decoder']}", text, mend)
