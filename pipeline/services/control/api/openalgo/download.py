"""The whole list of symbols in one answer, JSON or CSV: made and sent in parts. Floor 4.

A list has more than 100,000 rows, some 30 MB. They are made in a thread, one part at a time of all
answers together, so that no number of readers takes more than that from the loop that turns the
pool. Somebody who does not read is cut off.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from itertools import islice
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.core.instrument import Instrument
from pipeline.instruments.catalogue import Catalogue
from pipeline.services.control.api.lasting import while_there, write
from pipeline.services.control.api.openalgo.listing import row_document
from pipeline.services.control.api.openalgo.replies import Failed

ROWS: Final = 1000
#: Answers at a time.
DOWNLOADS_MAX: Final = 8
_TYPES: Final = {"json": b"application/json", "csv": b"text/csv; charset=utf-8"}
_encode: Final = msgspec.json.Encoder().encode

Parts = Iterator[bytes]


class Downloads:
    """Those that are under way, of one instance."""

    def __init__(self) -> None:
        self.count = 0
        self.turn = asyncio.Lock()

    def answer(self, catalogue: Catalogue, exchange: str, form: str) -> Response:
        """Return the list of an exchange, or of all, as `form` json or csv."""
        if self.count >= DOWNLOADS_MAX:
            raise Failed(429, f"{DOWNLOADS_MAX} lists are being sent already: ask again")
        found = catalogue.of_exchange(exchange) if exchange else iter(catalogue)
        return _Download(self, _FORMS[form](catalogue, found), _TYPES[form])


class _Download(Response):
    """One answer."""

    def __init__(self, downloads: Downloads, parts: Parts, kind: bytes) -> None:
        super().__init__()
        self._downloads = downloads
        self._parts = parts
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        self._downloads.count += 1
        try:
            await while_there(receive, self._send(send))
        finally:
            self._downloads.count -= 1

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", self._kind), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while True:
            async with self._downloads.turn:
                part = await asyncio.to_thread(next, self._parts, b"")
            await write(send, part, more=bool(part))
            if not part:
                return


def _batches(instruments: Iterable[Instrument]) -> Iterator[list[Instrument]]:
    found = iter(instruments)
    while rows := list(islice(found, ROWS)):
        yield rows


def _json_parts(catalogue: Catalogue, instruments: Iterable[Instrument]) -> Parts:
    count, before = 0, b""
    yield b'{"status":"success","data":['
    for rows in _batches(instruments):
        count += len(rows)
        yield before + _encode([row_document(catalogue, row) for row in rows])[1:-1]
        before = b","
    yield f'],"message":"Found {count} instruments"}}'.encode()


def _csv_parts(catalogue: Catalogue, instruments: Iterable[Instrument]) -> Parts:
    has_head = False
    for rows in _batches(instruments):
        documents = [row_document(catalogue, row) for row in rows]
        yield _table(documents, head=not has_head)
        has_head = True


def _table(documents: list[dict[str, Any]], *, head: bool) -> bytes:
    out = StringIO()
    writer = csv.DictWriter(out, list(documents[0]), lineterminator="\n")
    if head:
        writer.writeheader()
    writer.writerows(documents)
    return out.getvalue().encode()


_FORMS: Final[dict[str, Callable[[Catalogue, Iterable[Instrument]], Parts]]] = {
    "json": _json_parts,
    "csv": _csv_parts,
}
