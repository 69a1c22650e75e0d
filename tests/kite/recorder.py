"""A user's script: it writes each callback to stdout, a JSON line each. Run by the tests.

python recorder.py MODULE URL SCENARIO [OPTIONS as JSON]: MODULE is kiteconnect or pipeline.kite,
and nothing else differs. Each message is acknowledged by a subscription, which the test's server
waits for; so the order of what it sends is the order in which it arrives.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

MODULE, URL, SCENARIO = sys.argv[1:4]
OPTIONS = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
FIRST_ACK = 1_000_000
TOKENS = {408065: "full", 738561: "quote", 265: "ltp", 256265: "full"}
acknowledged = 0


def say(*what: object) -> None:
    print(json.dumps(what, default=str), flush=True)


def on_connect(ws: Any, response: Any) -> None:
    say("connect", ws is ticker, ws.is_connected(), type(response).__name__, response.version)
    if not ws.subscribed_tokens:
        say("subscribe", ws.subscribe(list(TOKENS)))
        for mode in ("ltp", "full"):
            say(ws.set_mode(mode, [token for token, own in TOKENS.items() if own == mode]))


def on_open(ws: Any) -> None:
    say("open", ws.is_connected(), dict(ws.subscribed_tokens))


def on_message(ws: Any, payload: bytes, is_binary: bool) -> None:
    global acknowledged
    say("message", type(payload).__name__, payload.hex(), is_binary)
    acknowledged += 1
    ws.subscribe([FIRST_ACK + acknowledged])


def on_ticks(ws: Any, ticks: list[dict[str, Any]]) -> None:
    say("ticks", ticks)
    last = ticks[-1]["last_price"]
    if last == 7777.0:
        say(ws.close(1000, "enough"))
    elif last == 8888.0:
        say(ws.stop())
    elif last == 9999.0:
        raise ValueError("user code")


def on_close(ws: Any, code: int | None, reason: str | None) -> None:
    say("close", ws.is_connected(), code, reason)
    if reason == "enough" or SCENARIO == "stop on close":
        ws.stop()


def on_noreconnect(ws: Any) -> None:
    say("noreconnect")
    ws.stop()


if MODULE == "kiteconnect":
    # Its pauses are seconds long; nothing else of it is touched.
    from twisted.internet.protocol import ReconnectingClientFactory

    ReconnectingClientFactory.initialDelay = ReconnectingClientFactory.delay = 0.05

ticker = importlib.import_module(MODULE).KiteTicker("demo", "demo-token", root=URL, **OPTIONS)
ticker.on_connect, ticker.on_open, ticker.on_message = on_connect, on_open, on_message
ticker.on_ticks, ticker.on_close, ticker.on_noreconnect = on_ticks, on_close, on_noreconnect
ticker.on_error = lambda ws, code, reason: say("error", code, reason)
ticker.on_reconnect = lambda ws, attempts: say("reconnect", attempts)
ticker.on_order_update = lambda ws, order: say("order", order)
say("returned", ticker.connect())
