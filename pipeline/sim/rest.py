"""The exchange's REST side: who asks what, and what he gets. Floor 4; no I/O.

Answers, errors and limits as Kite's: Kite Connect v3 documentation, "User", "Market quotes and
instruments", "Exceptions and errors"; the numbers are the exchange's own table, none of the
pipeline's. `/connect/login` stands for the page where people log in, `/sim/state` is for tests.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from pipeline.sim.admission import Admission
from pipeline.sim.http import Answer, Asked, json_answer
from pipeline.sim.market import Listing
from pipeline.sim.options import api_secret
from pipeline.sim.quotes import Quotes
from pipeline.sim.troubles import Troubles, later

if TYPE_CHECKING:
    from pipeline.sim.roll import Roll

#: Calls per second of one key, by class.
PER_SECOND: Final[Mapping[str, int]] = {"quote": 1, "default": 10}
INSTRUMENTS_MAX: Final[Mapping[str, int]] = {
    "/quote": 500,
    "/quote/ohlc": 1000,
    "/quote/ltp": 1000,
}
_SECOND_S: Final = 1.0
_INDIA: Final = timezone(timedelta(hours=5, minutes=30))
_REQUEST_TOKENS_MAX: Final = 1000


class Desk:
    """Answers calls; `state` is what `/sim/state` tells."""

    def __init__(
        self,
        admission: Admission,
        listing: Listing,
        *,
        seed: int,
        state: Callable[[], dict[str, Any]],
    ) -> None:
        self.troubles = Troubles()
        self.per_second = dict(PER_SECOND)
        self._admission = admission
        self._listing = listing
        self._state = state
        self._quotes = Quotes(listing)
        self._roll: Roll | None = None
        self._random = random.Random(f"{seed}/rest")
        self._request_tokens: dict[str, str] = {}
        self._recent: dict[tuple[str, str], deque[float]] = {}
        self._most: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()

    @property
    def roll(self) -> Roll:
        """What the instruments are called; made when first asked for, and imported then."""
        if self._roll is None:
            from pipeline.sim.roll import Roll

            self._roll = Roll(self._listing, datetime.now(_INDIA).date())
        return self._roll

    def stat(self) -> dict[str, Any]:
        """Return counts: of calls by path, of answers by status, the busiest second of a key."""
        return {
            "calls": dict(self._calls),
            "statuses": dict(self._statuses),
            "most_in_a_second": dict(self._most),
        }

    def answer(self, asked: Asked, now_s: float) -> Answer:
        """Answer one call."""
        if asked.path == "/sim/state":
            return json_answer(self._state())
        key = self._key(asked)
        place = "/instruments" if asked.path.startswith("/instruments/") else asked.path
        self._calls[f"{asked.method} {place}"] += 1
        instead, delay_s = self.troubles.meet(key=key, path=asked.path, now_s=now_s)
        limited = self._limited(key, place, now_s)
        answer = instead or limited or self._answer(asked, place)
        self._statuses["dropped" if answer.drop else str(answer.status.value)] += 1
        return later(answer, delay_s)

    def _answer(self, asked: Asked, place: str) -> Answer:
        open_to_all = {
            ("GET", "/connect/login"): self._login,
            ("GET", "/sim/back"): _back,
            ("POST", "/session/token"): self._exchange,
            ("DELETE", "/session/token"): self._end_session,
        }.get((asked.method, place))
        if open_to_all is not None:
            return open_to_all(asked)
        if not self._authorised(asked):
            return error("TokenException", "Incorrect `api_key` or `access_token`.")
        if asked.method != "GET":
            return error("GeneralException", "Route not found", HTTPStatus.NOT_FOUND)
        if place in INSTRUMENTS_MAX:
            return self._quote(asked, place)
        if place == "/instruments":
            return self._instruments(asked)
        if place == "/user/profile":
            return success(_profile(self._key(asked)))
        return error("GeneralException", "Route not found", HTTPStatus.NOT_FOUND)

    # ---- who, and how often

    @staticmethod
    def _credentials(asked: Asked) -> tuple[str, str]:
        scheme, _, rest = asked.headers.get("authorization", "").partition(" ")
        key, _, token = rest.partition(":")
        return (key, token) if scheme == "token" else ("", "")

    def _key(self, asked: Asked) -> str:
        return self._credentials(asked)[0] or asked.first("api_key")

    def _authorised(self, asked: Asked) -> bool:
        return self._admission.knows(*self._credentials(asked))

    def _limited(self, key: str, place: str, now_s: float) -> Answer | None:
        kind = "quote" if place in INSTRUMENTS_MAX else "default"
        recent = self._recent.setdefault((kind, key), deque())
        while recent and recent[0] <= now_s - _SECOND_S:
            recent.popleft()
        recent.append(now_s)
        self._most[kind] = max(self._most[kind], len(recent))
        limit = self.per_second[kind]
        if not limit or len(recent) <= limit:
            return None
        recent.pop()  # what is refused does not count towards the next
        return error("NetworkException", "Too many requests", HTTPStatus.TOO_MANY_REQUESTS)

    # ---- what

    def _quote(self, asked: Asked, place: str) -> Answer:
        names = asked.query.get("i", [])
        limit = INSTRUMENTS_MAX[place]
        if not 1 <= len(names) <= limit:
            text = f"Invalid `i`: {len(names)} instruments, 1 to {limit} are allowed"
            return error("InputException", text, HTTPStatus.BAD_REQUEST)
        tell = {"/quote": self._quotes.quote, "/quote/ohlc": self._quotes.ohlc}.get(
            place, self._quotes.ltp
        )
        found = {name: self.roll.position(name) for name in names}
        return success({name: tell(at) for name, at in found.items() if at is not None})

    def _instruments(self, asked: Asked) -> Answer:
        exchange = asked.path.removeprefix("/instruments").strip("/") or None
        if exchange is not None and exchange not in self.roll.exchanges:
            return error("InputException", "Invalid exchange", HTTPStatus.BAD_REQUEST)
        text = self.roll.csv(self._quotes, exchange)
        return Answer(body=text.encode(), content_type="text/csv")

    # ---- sessions

    def _login(self, asked: Asked) -> Answer:
        key = asked.first("api_key")
        if key not in self._admission.keys:
            return error("InputException", "Invalid `api_key`", HTTPStatus.BAD_REQUEST)
        token = self.request_token(key)
        query = urlencode({"action": "login", "status": "success", "request_token": token})
        headers = {"Location": f"/sim/back?{query}"}
        return Answer(HTTPStatus.FOUND, b"", "text/plain", headers)

    def request_token(self, key: str) -> str:
        """Return a request token as the login page would give; good for one exchange."""
        token = self._new_token()
        self._request_tokens[token] = key
        if len(self._request_tokens) > _REQUEST_TOKENS_MAX:
            del self._request_tokens[next(iter(self._request_tokens))]
        return token

    def _exchange(self, asked: Asked) -> Answer:
        key, request_token = asked.first("api_key"), asked.first("request_token")
        text = key + request_token + api_secret(key)
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if not hmac.compare_digest(checksum.encode(), asked.first("checksum").encode()):
            return error("TokenException", "Invalid `checksum`.")
        if self._request_tokens.pop(request_token, None) != key:
            return error("TokenException", "Token is invalid or has expired.")
        access_token = self._new_token()
        self._admission.restore(key, access_token)
        moment = datetime.fromtimestamp(int(time.time()), _INDIA)
        session = {
            "api_key": key,
            "access_token": access_token,
            "public_token": self._new_token(),
            "refresh_token": "",
            "login_time": f"{moment:%Y-%m-%d %H:%M:%S}",
        }
        return success(_profile(key) | session)

    def _end_session(self, asked: Asked) -> Answer:
        key, token = asked.first("api_key"), asked.first("access_token")
        if not self._admission.knows(key, token):
            return error("TokenException", "Incorrect `api_key` or `access_token`.")
        self._admission.revoke(key)
        return success(True)

    def _new_token(self) -> str:
        return f"{self._random.getrandbits(160):040x}"[:32]


def success(data: object) -> Answer:
    """Return Kite's envelope of what was asked for."""
    return json_answer({"status": "success", "data": data})


def error(kind: str, message: str, status: HTTPStatus = HTTPStatus.FORBIDDEN) -> Answer:
    """Return Kite's envelope of an error."""
    document = {"status": "error", "message": message, "data": None, "error_type": kind}
    return json_answer(document, status)


def _back(asked: Asked) -> Answer:
    del asked
    text = "Logged in. Copy the address of this page to where it is asked for.\n"
    return Answer(body=text.encode(), content_type="text/plain")


def _profile(key: str) -> dict[str, Any]:
    return {
        "user_id": f"SIM{key.upper()}",
        "user_type": "individual",
        "email": f"{key}@simulator.invalid",
        "user_name": f"Simulated {key}",
        "user_shortname": key,
        "broker": "ZERODHA",
        "exchanges": ["NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO"],
        "products": ["CNC", "NRML", "MIS"],
        "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
        "avatar_url": None,
        "meta": {"demat_consent": "physical"},
    }
