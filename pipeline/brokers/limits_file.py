"""Reading a broker's `limits.toml`: numbers with their sources. Floor 2; texts in, values out.

Each folder ships one file, with all numbers of [websocket] and [rest]. A user's own file may
replace numbers of [rest], never those of [websocket]: those belong to the protocol, and a
connection is made smaller in the config. Every problem is told at once, with its key.
"""

from __future__ import annotations

import dataclasses
import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, NamedTuple

from pipeline.brokers.contract import Limits
from pipeline.core.config.fields import (
    Integer,
    Kind,
    Number,
    Refused,
    Text,
    TimeOfDay,
    Word,
    declarations,
    key,
    shorten,
    table,
)
from pipeline.core.config.reading import read_section
from pipeline.core.errors import ConfigError, Problem
from pipeline.core.rates import Endpoint, EndpointLimit, RestLimits, Scope

FILE_NAME: Final = "limits.toml"


class Figure(NamedTuple):
    """A value and where it comes from."""

    value: Any
    source: str


@dataclass(frozen=True)
class Sourced(Kind):
    """An inline table of a value and its source."""

    inner: Kind

    @property
    def allowed(self) -> str:
        return f'{{ value = {self.inner.allowed}, source = "where it comes from" }}'

    def read(self, value: object) -> Figure:
        if not isinstance(value, dict) or value.keys() != {"value", "source"}:
            raise Refused
        source = value["source"]
        if not isinstance(source, str) or not source.strip():
            raise Refused(found="a source without text")
        try:
            return Figure(self.inner.read(value["value"]), source)
        except Refused:
            raise Refused(found=f"the value {shorten(value['value'])}") from None


_COUNT: Final = Sourced(Integer(1, 10**9))
_SECONDS: Final = Sourced(Number(0, 3600))


@dataclass(frozen=True, kw_only=True, slots=True)
class _WebSocket:
    instruments_per_connection: Figure = key(_COUNT, "")
    connections_per_key: Figure = key(_COUNT, "")
    handshake_spacing_s: Figure = key(_SECONDS, "")
    tokens_per_command: Figure = key(_COUNT, "")
    command_spacing_s: Figure = key(_SECONDS, "")
    heartbeat_s: Figure = key(_SECONDS, "")
    frame_bytes_max: Figure = key(_COUNT, "")
    packets_per_frame_max: Figure = key(_COUNT, "")
    text_parse_bytes_max: Figure = key(_COUNT, "")
    text_depth_max: Figure = key(_COUNT, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Class:
    scope: Figure | None = key(Sourced(Word(tuple(Scope))), "", default=None)
    requests_per_second: Figure | None = key(_COUNT, "", default=None)
    requests_per_minute: Figure | None = key(_COUNT, "", default=None)
    requests_per_day: Figure | None = key(_COUNT, "", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _PerCall:
    quote: Figure | None = key(_COUNT, "", default=None)
    ohlc: Figure | None = key(_COUNT, "", default=None)
    ltp: Figure | None = key(_COUNT, "", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rest:
    documentation_url: Figure | None = key(
        Sourced(Text(r"https?://\S+", "an address")), "", default=None
    )
    day_starts: Figure | None = key(Sourced(TimeOfDay()), "", default=None)
    wait_s_max: Figure | None = key(_SECONDS, "", default=None)
    instruments_per_call: _PerCall = table(_PerCall, "")
    quote: _Class = table(_Class, "")
    historical: _Class = table(_Class, "")
    order_place: _Class = table(_Class, "")
    order_modify: _Class = table(_Class, "")
    order_cancel: _Class = table(_Class, "")
    default: _Class = table(_Class, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shipped:
    websocket: _WebSocket = table(_WebSocket, "", optional=True)
    rest: _Rest = table(_Rest, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Own:
    rest: _Rest = table(_Rest, "")


def shipped_limits(package: str) -> tuple[Limits, RestLimits]:
    """Return what a broker's own file says of its feed and of its REST."""
    text = resources.files(package).joinpath(FILE_NAME).read_text(encoding="utf-8")
    found: _Shipped = _read(_Shipped, text, f"{package}/{FILE_NAME}")
    figures = _figures(found.websocket)
    values = {name: figure.value for name, figure in figures.items()}
    sources = {name: figure.source for name, figure in figures.items()}
    return Limits(**values, sources=sources), _merged(found.rest, None)


def own_limits(text: str, *, source: str, shipped: RestLimits) -> RestLimits:
    """Return `shipped` with what a user's file replaces; ConfigError with every problem."""
    own: _Own = _read(_Own, text, source)
    return _merged(own.rest, shipped)


def _read(section: type[Any], text: str, source: str) -> Any:
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the text of a TOMLDecodeError names the line
        raise ConfigError(source, [Problem("file", str(error), "TOML")]) from None
    problems: list[Problem] = []
    if section is _Own and "websocket" in document:
        hint = "a connection is made smaller with [[connection]] instruments_max in the config"
        problems.append(Problem("websocket", "a table", "[rest] only", hint))
        del document["websocket"]
    found = read_section(section, document, "", problems)
    if problems:
        raise ConfigError(source, problems)
    return found


def _figures(section: Any) -> dict[str, Figure]:
    values = {name: getattr(section, field.name) for name, (field, _) in _declared(section)}
    return {name: value for name, value in values.items() if isinstance(value, Figure)}


def _declared(section: Any) -> Any:
    return declarations(type(section)).items()


def _merged(rest: _Rest, before: RestLimits | None) -> RestLimits:
    """Return limits of what a file says and, for what it leaves out, of `before`."""
    sources: dict[str, str] = dict(before.sources) if before else {}
    own = _figures(rest)
    sources |= {name: figure.source for name, figure in own.items()}
    per_call = _figures(rest.instruments_per_call)
    sources |= {f"instruments_per_call.{name}": f.source for name, f in per_call.items()}
    endpoints = {}
    for endpoint in Endpoint:
        figures = _figures(getattr(rest, endpoint))
        sources |= {f"{endpoint}.{name}": figure.source for name, figure in figures.items()}
        values = {name: figure.value for name, figure in figures.items()}
        if "scope" in values:
            values["scope"] = Scope(values["scope"])
        earlier = before.endpoints[endpoint] if before else None
        endpoints[endpoint] = (
            dataclasses.replace(earlier, **values) if earlier else EndpointLimit(**values)
        )
    return RestLimits(
        endpoints=endpoints,
        instruments_per_call=_per_call(per_call, before),
        sources=sources,
        **_whole(own, before),
    )


def _per_call(figures: Mapping[str, Figure], before: RestLimits | None) -> dict[str, int]:
    return {
        **(before.instruments_per_call if before else {}),
        **{name: figure.value for name, figure in figures.items()},
    }


def _whole(figures: Mapping[str, Figure], before: RestLimits | None) -> dict[str, Any]:
    names = ("documentation_url", "day_starts", "wait_s_max")
    earlier = {name: getattr(before, name) for name in names} if before else {}
    found = earlier | {name: figures[name].value for name in names if name in figures}
    starts: datetime.time = found["day_starts"]
    return found | {"day_starts": starts.replace(tzinfo=None, microsecond=0)}
