"""Kite's REST through kiteconnect: the one place that imports it, and only when asked. Floor 2.

A session is one KiteConnect client with our errors. Nothing here waits or counts: every call is
made by `pipeline.rest`, behind its governor. Facts: Kite Connect v3 documentation, "User", "Market
quotes and instruments", "Exceptions and errors"; kiteconnect 5.2.2 for what becomes of answers
that are none of Kite's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from pipeline.brokers.contract import Login
from pipeline.core import logs
from pipeline.core.errors import (
    AuthError,
    PipelineError,
    RateLimited,
    RequestError,
    UpstreamError,
)
from pipeline.core.extras import import_extra
from pipeline.core.secrets import Secret, redact

ENDPOINT: Final = "https://api.kite.trade"
LOGIN_ADDRESS: Final = "https://kite.zerodha.com/connect/login"
LOGIN_PATH: Final = "/connect/login"  # of a simulated exchange, which has one address for all

_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_SAID_LENGTH_MAX: Final = 200
# They log addresses at debug level, and that of a log-out has the token in it.
_CHATTY: Final = ("urllib3.connectionpool", "kiteconnect.connect")
_REQUEST_TOKEN: Final = re.compile(r"[A-Za-z0-9]{6,128}")


class KiteRest:
    """How Kite's REST is reached."""

    endpoint = ENDPOINT

    def login_address(self, *, endpoint: str, api_key: str) -> str:
        """Return where a person logs in; Kite then redirects to the app's own address."""
        place = LOGIN_ADDRESS if endpoint == ENDPOINT else endpoint + LOGIN_PATH
        return f"{place}?{urlencode({'v': 3, 'api_key': api_key})}"

    def request_token(self, text: str) -> str:
        """Return the request token out of a redirect's address, or the text if it is one."""
        text = text.strip()
        if "request_token=" in text:
            query = urlsplit(text).query or text.partition("?")[2] or text
            text = parse_qs(query).get("request_token", [""])[0]
        if not _REQUEST_TOKEN.fullmatch(text):
            raise ValueError(
                "expected a request token (letters and digits), or the whole address that the "
                "login led to, with request_token=... in it"
            )
        return text

    def open(
        self, *, endpoint: str, api_key: str, timeout_s: float, ca_file: str | None = None
    ) -> KiteRestSession:
        """Return a session; MissingExtra when kiteconnect is not installed."""
        kiteconnect = import_extra("kiteconnect", needed_by="the broker's REST")
        logs.redact_library(*_CHATTY)
        client = kiteconnect.KiteConnect(api_key, root=endpoint, timeout=timeout_s)
        if ca_file is not None:  # kiteconnect's own setting is for or against any verification
            request = client.reqsession.request
            client.reqsession.request = lambda *a, **k: request(*a, **{**k, "verify": ca_file})
        return KiteRestSession(client, kiteconnect.exceptions)


class KiteRestSession:
    """One KiteConnect client, for one thread at a time."""

    def __init__(self, client: Any, exceptions: Any) -> None:
        self._client = client
        self._exceptions = exceptions
        self._status = 0
        self._retry_after_s = 0.0
        client.reqsession.hooks["response"].append(self._on_response)

    def authorize(self, access_token: Secret | None) -> None:
        """Use this token from now on."""
        self._client.set_access_token(None if access_token is None else access_token.reveal())

    def quote(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: quote with depth}, as `KiteConnect.quote`."""
        with self._call("quote"):
            return dict(self._client.quote(list(instruments)))

    def ohlc(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: last price, ohlc}, as `KiteConnect.ohlc`."""
        with self._call("quote/ohlc"):
            return dict(self._client.ohlc(list(instruments)))

    def ltp(self, instruments: Sequence[str]) -> dict[str, Any]:
        """Return {name: last price}, as `KiteConnect.ltp`."""
        with self._call("quote/ltp"):
            return dict(self._client.ltp(list(instruments)))

    def instruments(self, exchange: str | None) -> str:
        """Return the day's list as CSV: `symbols.read_instruments` reads it, from files too."""
        with self._call("instruments"):
            # KiteConnect.instruments() would make a dict of each of 100,000 rows first.
            if exchange is None:
                content: bytes = self._client._get("market.instruments.all")
            else:
                content = self._client._get("market.instruments", url_args={"exchange": exchange})
            return content.decode()

    def profile(self) -> dict[str, Any]:
        """Return whose token this is, as `KiteConnect.profile`."""
        with self._call("user/profile"):
            return dict(self._client.profile())

    def log_in(self, request_token: Secret, api_secret: Secret) -> Login:
        """Exchange a request token, good for one exchange within minutes of the login."""
        with self._call("session/token", "the request token, or the API secret"):
            found = self._client.generate_session(request_token.reveal(), api_secret.reveal())
            user_id, name = str(found.get("user_id", "")), str(found.get("user_name", ""))
            return Login(Secret(str(found["access_token"])), user_id, name)

    def log_out(self) -> None:
        """Make the token that is in use worthless."""
        with self._call("session/token"):
            self._client.invalidate_access_token()

    def close(self) -> None:
        """Close the HTTP connections."""
        self._client.reqsession.close()

    @contextmanager
    def _call(self, path: str, credential: str = "the access token") -> Iterator[None]:
        """Turn what kiteconnect and requests raise into our errors, without their context."""
        self._status, self._retry_after_s = 0, 0.0
        try:
            yield
        except self._exceptions.KiteException as error:
            found = self._translated(error, path, credential)
        except OSError as error:  # requests' own errors are OSErrors
            found = UpstreamError(f"{path}: no answer ({type(error).__name__}): try again later")
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            # kiteconnect takes an answer apart without looking: no content type, another shape.
            found = self._limited(path) or UpstreamError(
                f"{path}: HTTP {self._status} with something that is no answer of Kite's "
                f"({type(error).__name__}): is the address right?"
            )
        else:
            return
        raise found from None

    def _translated(self, error: Any, path: str, credential: str) -> PipelineError:
        code = self._status or error.code
        limited = self._limited(path)
        if limited is not None:
            return limited
        if isinstance(error, self._exceptions.TokenException):
            return AuthError(
                f"{path}: the broker rejected {credential} ({_said(error)}): "
                "get a new one with: python -m pipeline token login"
            )
        broken = (self._exceptions.NetworkException, self._exceptions.DataException)
        if isinstance(error, broken) or code >= _SERVER_ERROR:
            return UpstreamError(f"{path}: HTTP {code} ({_said(error)}): try again later")
        return RequestError(f"{path}: the broker refused it with HTTP {code} ({_said(error)})")

    def _limited(self, path: str) -> RateLimited | None:
        if self._status != _TOO_MANY_REQUESTS:
            return None
        text = f"{path}: the broker said 429, too many requests"
        return RateLimited(text, endpoint=path, retry_after_s=self._retry_after_s)

    def _on_response(self, response: Any, *_: object, **__: object) -> None:
        # kiteconnect keeps neither the status of what it cannot read nor any header.
        self._status = int(response.status_code)
        seconds = response.headers.get("Retry-After", "")
        self._retry_after_s = float(seconds) if seconds.isascii() and seconds.isdigit() else 0.0


def _said(error: Any) -> str:
    text = redact(" ".join(str(error).split()))
    return text if len(text) <= _SAID_LENGTH_MAX else text[: _SAID_LENGTH_MAX - 3] + "..."
