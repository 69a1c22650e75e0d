"""Answers, and what the OpenAPI document says about refusals. Floor 4."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response

from pipeline.core.control import Problem

STATUS: Final = {
    "bad_request": 422, "unknown_instrument": 422, "capacity": 409, "conflict": 409,
    "not_found": 404, "unavailable": 503,
}  # fmt: skip
_DESCRIPTIONS: Final = {
    400: "A request that makes no sense",
    401: "No bearer token, or another one, and no session", 403: "A key or a proof that is wrong",
    404: "There is no such thing",
    409: "Not possible now; nothing was changed", 422: "A request that makes no sense",
    429: "Too many a second", 503: "The control process is starting or ending",
}  # fmt: skip
_ERROR: Final = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "requested": {"type": "integer"},
        "accepted": {"type": "integer"},
        "available": {"type": "integer"},
    },
}
HTTP_CONFLICT: Final = 409
#: What a 409 says of something that cannot be done in parts.
_ONE_REFUSED: Final = {"requested": 1, "accepted": 0, "available": 0}
_ENCODE: Final = msgspec.json.Encoder().encode


def json_answer(
    document: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a document as an answer."""
    return Response(_ENCODE(document), status, headers, media_type="application/json")


def refusal(problem: Problem) -> Response:
    """Return the answer to a request that is not done."""
    headers = {"Retry-After": "1"} if problem.code == "unavailable" else None
    status = STATUS.get(problem.code, 422)
    counts = _ONE_REFUSED if status == HTTP_CONFLICT else {}
    document = {**counts, **problem.detail, "detail": problem.text, "code": problem.code}
    return json_answer(document, status, headers)


def error_responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says of these status codes."""
    content = {"application/json": {"schema": _ERROR}}
    return {code: {"description": _DESCRIPTIONS[code], "content": content} for code in codes}
