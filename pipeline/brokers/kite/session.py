"""What is said on a Kite connection: handshake, subscriptions, texts. Floor 2; sans-I/O.

No socket, no clock, no log, no state. Wire facts: Kite Connect v3 documentation, "WebSocket
streaming", sections "Connecting to the WebSocket endpoint", "Request structure", "Postbacks and
non-binary updates".
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from pipeline.brokers.contract import (
    Command,
    Handshake,
    HttpMeaning,
    MessageClass,
    Subscriptions,
    TextKind,
    TextMessage,
)
from pipeline.brokers.kite.limits import LIMITS
from pipeline.core.enums import Mode

ENDPOINT: Final = "wss://ws.kite.trade"
HEADERS: Final = (("X-Kite-Version", "3"),)

#: The mode of an instrument after `subscribe`, until a `mode` message changes it.
DEFAULT_MODE: Final = Mode.QUOTE

_MODE_NAMES: Final = {Mode.LTP: "ltp", Mode.QUOTE: "quote", Mode.FULL: "full"}
_TEXT_KINDS: Final = {
    "order": TextKind.ORDER,
    "error": TextKind.ERROR,
    "message": TextKind.MESSAGE,
    "instruments_meta": TextKind.INSTRUMENTS_META,
    "app_code": TextKind.APP_CODE,
}
_LEADING_TYPE: Final = re.compile(rb'\s*\{\s*"type"\s*:\s*"([a-z_]{1,32})"')
_TYPE_NAME_LENGTH_MAX: Final = 64
#: What a server says that was asked for too much; the connection lives on (known from users'
#: reports only, with the numbers of several years).
_TOO_MANY: Final = re.compile(r"subscribe to more than (\d{1,9}) instruments")

_HTTP_MEANINGS: Final = {
    101: HttpMeaning.CONNECTED,
    401: HttpMeaning.AUTH_REJECTED,
    403: HttpMeaning.AUTH_REJECTED,
    429: HttpMeaning.RATE_LIMITED,
}


class KiteSession:
    """The Kite protocol above WebSocket messages; one object serves any number of connections."""

    def handshake(self, endpoint: str, *, api_key: str, access_token: str) -> Handshake:
        """Return the opening request; key and token go into the query, percent-encoded.

        A query that the endpoint has of its own (the sandbox's `user_id`) stands behind them.
        """
        parts = urlsplit(endpoint)
        key, token = quote(api_key, safe=""), quote(access_token, safe="")
        query = f"api_key={key}&access_token={token}" + (f"&{parts.query}" if parts.query else "")
        target = parts._replace(path=parts.path or "/", query=query, fragment="")
        return Handshake(
            url=urlunsplit(target),
            headers=HEADERS,
            redacted=urlunsplit(target._replace(query="api_key=***&access_token=***")),
            secrets=tuple(dict.fromkeys((access_token, token, api_key, key))),
        )

    def commands(self, *, wanted: Subscriptions, on_wire: Subscriptions) -> Iterator[Command]:
        """Yield what leads from `on_wire` to `wanted`: first what makes room, then the rest.

        A new instrument is always subscribed before its mode is set. Tokens of a mode keep the
        order of `wanted`, in messages of at most `tokens_per_command`; where these are several,
        modes come one after the other, so that a message of tokens seldom takes two of modes.
        """
        now = _live(on_wire)
        then = _live(wanted)
        for batch in _batches([token for token in now if token not in then]):
            yield _command("unsubscribe", batch, Mode.NONE)
        new = [token for token in then if token not in now]
        if len(new) > LIMITS.tokens_per_command:
            new.sort(key=then.__getitem__)
        for batch in _batches(new):
            yield _command("subscribe", batch, DEFAULT_MODE)
            yield from _mode_commands({token: then[token] for token in batch})
        changed = {t: mode for t, mode in then.items() if t in now and now[t] != mode}
        yield from _mode_commands(changed)

    def classify(self, *, is_text: bool, payload: bytes) -> MessageClass:
        """Say where a message goes: binary is data, text is an order update or other text.

        Order updates are known by their first key as a rule; a text that begins otherwise is
        parsed once, within the limits of `parse_text`.
        """
        if not is_text:
            return MessageClass.DATA
        leading = _LEADING_TYPE.match(payload)
        if leading is not None:
            return MessageClass.ORDER if leading[1] == b"order" else MessageClass.TEXT
        is_order = self.parse_text(payload).kind is TextKind.ORDER
        return MessageClass.ORDER if is_order else MessageClass.TEXT

    def parse_text(self, payload: bytes) -> TextMessage:
        """Parse a text message; what cannot be understood is INVALID or UNKNOWN, never raised.

        Texts over `text_parse_bytes_max` or nested deeper than `text_depth_max` are INVALID.
        """
        if len(payload) > LIMITS.text_parse_bytes_max:
            return _invalid(f"{len(payload)} bytes; at most {LIMITS.text_parse_bytes_max}")
        try:
            document = json.loads(payload)
        except RecursionError:
            return _invalid(f"nested deeper than {LIMITS.text_depth_max}")
        except ValueError:  # malformed, not UTF-8, or a number of thousands of digits
            return _invalid("no JSON")
        if not isinstance(document, dict):
            return _invalid("JSON, but no object")
        if _is_deeper(document, LIMITS.text_depth_max):
            return _invalid(f"nested deeper than {LIMITS.text_depth_max}")
        return _text_message(document)

    def http_meaning(self, status: int) -> HttpMeaning:
        """Say what an HTTP status means: 101, 401 and 403, 429; anything else is worth a retry."""
        return _HTTP_MEANINGS.get(status, HttpMeaning.UNAVAILABLE)


def _live(subscriptions: Subscriptions) -> dict[int, Mode]:
    return {token: Mode(mode) for token, mode in subscriptions.items() if mode != Mode.NONE}


def _batches(tokens: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(tokens), LIMITS.tokens_per_command):
        yield tokens[start : start + LIMITS.tokens_per_command]


def _command(action: str, tokens: Sequence[int], mode_after: Mode) -> Command:
    payload = json.dumps({"a": action, "v": list(tokens)}, separators=(",", ":"))
    return Command(payload, tuple((token, mode_after) for token in tokens))


def _mode_commands(modes: Subscriptions) -> Iterator[Command]:
    by_mode: defaultdict[Mode, list[int]] = defaultdict(list)
    for token, mode in modes.items():
        by_mode[mode].append(token)
    for mode, tokens in by_mode.items():
        for batch in _batches(tokens):
            value = [_MODE_NAMES[mode], list(batch)]
            payload = json.dumps({"a": "mode", "v": value}, separators=(",", ":"))
            yield Command(payload, tuple((token, mode) for token in batch))


def _text_message(document: dict[str, Any]) -> TextMessage:
    name = document.get("type")
    if not isinstance(name, str):
        return TextMessage(kind=TextKind.UNKNOWN, data=document.get("data"))
    kind, data = _TEXT_KINDS.get(name, TextKind.UNKNOWN), document.get("data")
    return TextMessage(
        kind=kind,
        type_name=name[:_TYPE_NAME_LENGTH_MAX],
        data=data,
        instruments_max=_limit_in(data) if kind is TextKind.ERROR else None,
    )


def _limit_in(data: object) -> int | None:
    found = _TOO_MANY.search(data) if isinstance(data, str) else None
    return int(found[1]) if found else None


def _invalid(problem: str) -> TextMessage:
    return TextMessage(kind=TextKind.INVALID, problem=problem)


def _is_deeper(document: object, limit: int) -> bool:
    level = [document]
    for _ in range(limit):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return any(isinstance(node, dict | list) for node in level)


def _children(node: object) -> Sequence[object]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else ()
