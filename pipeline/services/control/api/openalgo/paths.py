"""OpenAlgo's paths of an instance, and what goes wrong on them. Floor 4."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from fastapi.requests import Request
from starlette.responses import Response

from pipeline.brokers.kite.order_update import BROKER_NAME
from pipeline.core.errors import BadInstruments, NoInstruments
from pipeline.services.control.api.openalgo.access import PageKeys, key_store
from pipeline.services.control.api.openalgo.keyed import Doorkeeper, TooOften
from pipeline.services.control.api.openalgo.prices import Prices
from pipeline.services.control.api.openalgo.replies import Failed, failure
from pipeline.services.control.api.openalgo.v1 import V1Paths
from pipeline.services.control.api.openalgo.websocket import WebSocketPaths
from pipeline.services.control.front import Front
from pipeline.services.keys import KeyStoreError

#: OpenAlgo's names of brokers.
_BROKERS: Final = {"kite": BROKER_NAME}


def add_openalgo(app: FastAPI, front: Front) -> PageKeys:
    """Add the paths to an application; return what keeps the keys of pages."""
    assert front.config.api is not None
    store = key_store(front.config)
    keys = PageKeys(front.config, front.sessions, store)
    prices = Prices(front.paths, front.want_for_a_while)

    def broker(account: str) -> str:
        found = front.config.account(account).broker
        return _BROKERS.get(found, found)

    doorkeeper = Doorkeeper(store, front.config.api.questions_per_s)
    app.include_router(V1Paths(doorkeeper, prices, front.catalogue, broker).router())
    app.include_router(WebSocketPaths(front, keys, prices, broker).router())
    app.add_exception_handler(Failed, _failed)
    app.add_exception_handler(TooOften, _too_often)
    for kind in (KeyStoreError, NoInstruments, BadInstruments):
        app.add_exception_handler(kind, _not_there)
    return keys


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failed)
    return failure(error.status, error.text)


async def _too_often(request: Request, error: Exception) -> Response:
    assert isinstance(error, TooOften)
    return failure(429, "Too many requests a second with this key: see [api] questions_per_s")


async def _not_there(request: Request, error: Exception) -> Response:
    """The list of symbols or the keys: our own texts, which say what to do."""
    return failure(404 if isinstance(error, NoInstruments) else 503, str(error))
