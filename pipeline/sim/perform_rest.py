"""Doing the actions that are about REST. Floor 4; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from pipeline.sim import rest
from pipeline.sim.actions import Action
from pipeline.sim.conditions import FOREVER
from pipeline.sim.exchange import Exchange
from pipeline.sim.http import Answer
from pipeline.sim.troubles import Trouble

#: What Kite calls an error of that status.
_ERROR_KINDS: Final = {
    HTTPStatus.BAD_REQUEST: "InputException",
    HTTPStatus.FORBIDDEN: "TokenException",
    HTTPStatus.TOO_MANY_REQUESTS: "NetworkException",
    HTTPStatus.BAD_GATEWAY: "DataException",
    HTTPStatus.SERVICE_UNAVAILABLE: "NetworkException",
    HTTPStatus.GATEWAY_TIMEOUT: "NetworkException",
}


def _trouble(
    exchange: Exchange, action: Action, now_s: float, answer: Answer | None, delay_s: float = 0.0
) -> dict[str, Any]:
    p, key = action.parameters, action.selector.get("key")
    trouble = Trouble(
        answer,
        delay_s,
        left=p["count"],
        until_s=FOREVER if p["seconds"] is None else now_s + p["seconds"],
        key=None if key is None else str(key),
        path=p["path"],
    )
    exchange.desk.troubles.add(trouble)
    return {}


def _refuse(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    status, seconds = HTTPStatus(action.parameters["status"]), action.parameters["retry_after_s"]
    answer = rest.error(_ERROR_KINDS.get(status, "GeneralException"), status.phrase, status)
    if seconds is not None:
        answer.headers["Retry-After"] = str(seconds)
    return _trouble(exchange, action, now_s, answer)


def _delay(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    return _trouble(exchange, action, now_s, None, action.parameters["ms"] / 1000)


def _drop(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    return _trouble(exchange, action, now_s, Answer(drop=True))


def _garble(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    page = Answer(HTTPStatus.BAD_GATEWAY, b"<html>bad gateway</html>", "text/html")
    return _trouble(exchange, action, now_s, page)


def _limits(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    given = {name: limit for name, limit in action.parameters.items() if limit is not None}
    exchange.desk.per_second |= given
    return {}


def _calm(exchange: Exchange, action: Action, now_s: float) -> dict[str, Any]:
    exchange.desk.troubles.clear()
    exchange.desk.per_second |= rest.PER_SECOND
    return {}


ON_REST: Final[Mapping[str, Callable[[Exchange, Action, float], dict[str, Any]]]] = {
    "rest_refuse": _refuse,
    "rest_delay": _delay,
    "rest_drop": _drop,
    "rest_garble": _garble,
    "rest_limits": _limits,
    "rest_calm": _calm,
}
