"""The words of JSON Schema that documents are described with, for OpenAPI. Floor 4; pure.

An object may have more than it must have: documents grow, and readers of them pass over what they
do not know.
"""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

NUMBER: Final[Schema] = {"type": "number"}
INTEGER: Final[Schema] = {"type": "integer"}
TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}


def record(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """Return the schema of an object with fields of its own."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "required": list(required), "properties": properties}


def list_of(item: Schema, **more: Any) -> Schema:
    """Return the schema of an array; `more` are bounds of it."""
    return {"type": "array", "items": item, **more}


def map_of(value: Schema) -> Schema:
    """Return the schema of an object whose keys are data."""
    return {"type": "object", "additionalProperties": value}


def or_null(schema: Schema) -> Schema:
    """Return the schema of what may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def all_of(kind: Schema, *names: str) -> dict[str, Schema]:
    """Return fields of one kind."""
    return dict.fromkeys(names, kind)


def good(schema: Schema, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a path that answers with such a document."""
    content = {"application/json": {"schema": schema}}
    return {status: {"description": "What was asked for", "content": content}}
