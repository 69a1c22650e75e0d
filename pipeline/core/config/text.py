"""A config as text: what is in force, and the reference of every key. Floor 1; pure.

Both are TOML that reads back. Secrets cannot leak here: a config holds references only.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.core.config.fields import MISSING, Key, Table, declarations
from pipeline.core.config.sections import Config

_WIDTH: Final = 96
_INDEX: Final = re.compile(r"\[\d+\]")
_TITLE: Final = "# Every key of a config. Those that are commented out may be left out."


def toml_value(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, float):
        if not math.isfinite(value) or value != int(value):
            return f"{value:g}"
        return f"{value:.1f}"
    if isinstance(value, datetime.time):
        return f'"{value:%H:%M}"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{_toml_key(name)} = {toml_value(item)}" for name, item in value.items())
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    return str(value)


def _toml_key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isascii() and bare.isalnum() else _quote(name)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'


def show(config: Config, origins: Mapping[str, str] | None = None) -> str:
    """Return every value in force, the defaults too; behind it where it is from, if that is told.

    origins: {key path: where its value is from}, with `[[account]]`'s first as account[0].
    """
    return "\n".join(_show_section(config, "", "", origins or {})).strip() + "\n"


def _show_section(
    section: Any, path: str, header: str, origins: Mapping[str, str]
) -> Iterator[str]:
    if header:
        yield ""
        yield header
    nested = []
    for name, (field, what) in declarations(type(section)).items():
        value = getattr(section, field.name)
        if isinstance(what, Table):
            nested.append((name, what, value))
        elif value is not None:
            origin = origins.get(f"{path}.{name}")
            yield f"{name} = {toml_value(value)}" + (f"  # {origin}" if origin else "")
    for name, what, value in nested:
        here = f"{path}.{name}" if path else name
        if what.repeated:
            for number, item in enumerate(value):
                yield from _show_section(item, f"{here}[{number}]", f"[[{here}]]", origins)
        elif value is not None:
            yield from _show_section(value, here, f"[{_INDEX.sub('', here)}]", origins)
        elif what.word:
            yield f"{name} = {toml_value(what.word)}"


def as_dict(section: Any) -> dict[str, Any]:
    """Return what `show` prints as nested dicts of JSON's types."""
    found: dict[str, Any] = {}
    for name, (field, what) in declarations(type(section)).items():
        value = getattr(section, field.name)
        if isinstance(what, Key):
            found[name] = json_value(value)
        elif what.repeated:
            found[name] = [as_dict(item) for item in value]
        else:
            found[name] = (what.word or None) if value is None else as_dict(value)
    return found


def json_value(value: object) -> Any:
    """Return a key's value in JSON's types."""
    if isinstance(value, tuple | list):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {name: json_value(item) for name, item in value.items()}
    if isinstance(value, datetime.time):
        return f"{value:%H:%M}"
    return value.isoformat() if isinstance(value, datetime.date) else value


def schema(section: type[Any] = Config) -> dict[str, Any]:
    """Return every key with its meaning, what it takes and its default, as nested dicts."""
    found: dict[str, Any] = {}
    for name, (field, what) in declarations(section).items():
        if isinstance(what, Table):
            keys = schema(what.section)
            found[name] = {"meaning": _summary(what.section), "repeated": what.repeated}
            found[name]["keys"] = keys
            continue
        required = field.default is MISSING
        found[name] = {"meaning": what.doc, "takes": what.kind.allowed, "required": required}
        if not required:
            found[name]["default"] = json_value(field.default)
    return found


def reference() -> str:
    """Return a commented file with every key: what it means, what it takes, its default."""
    lines = [_TITLE]
    for name, (_, what) in declarations(Config).items():
        assert isinstance(what, Table)
        header = f"[[{name}]]" if what.repeated else f"[{name}]"
        keys = [header, *_reference_keys(what.section, name)]
        if what.excludes:  # of what the file above has
            keys = [line if line.startswith("#") or not line else f"# {line}" for line in keys]
        lines += ["", "", *_comment(_summary(what.section)), *keys]
    return "\n".join(lines) + "\n"


def _reference_keys(section: type[Any], path: str) -> Iterator[str]:
    for name, (field, what) in declarations(section).items():
        if isinstance(what, Table):
            yield from _reference_table(what, name, path)
            continue
        yield ""
        yield from _comment(what.doc)
        yield from _comment(what.kind.allowed, "#   takes ")
        if field.default is MISSING or what.essential:
            yield f"{name} = {toml_value(what.example)}"
        elif field.default is None:
            yield f"# {name} = {toml_value(what.example)}"
        else:
            yield f"{name} = {toml_value(field.default)}"


def _reference_table(what: Table, name: str, path: str) -> Iterator[str]:
    yield ""
    yield from _comment(what.doc)
    if what.word:
        yield f"{name} = {toml_value(what.word)}"
        yield ""
        yield from _comment(f"Or a table instead of the word. {_summary(what.section)}")
        yield f"# [{path}.{name}]"
        for line in _reference_keys(what.section, f"{path}.{name}"):
            yield line if line.startswith("#") or not line else f"# {line}"
        return
    pairs = [
        f"{key} = {toml_value(_shown(field, key_what))}"
        for key, (field, key_what) in declarations(what.section).items()
    ]
    for key, (_, key_what) in declarations(what.section).items():
        assert isinstance(key_what, Key)
        yield from _comment(f"{key}: {key_what.doc}, {key_what.kind.allowed}", "#   ")
    yield f"# {name} = {{ {', '.join(pairs)} }}"


def _shown(field: dataclasses.Field[Any], what: Key | Table) -> object:
    assert isinstance(what, Key)
    return what.example if field.default is MISSING else field.default


def _summary(section: type[Any]) -> str:
    return " ".join((section.__doc__ or "").split())


def _comment(text: str, mark: str = "# ") -> list[str]:
    indent = "#".ljust(len(mark))
    return textwrap.wrap(text, _WIDTH, initial_indent=mark, subsequent_indent=indent)


def markdown() -> str:
    """Return `docs/configuration.md`."""
    parts = [_MARKDOWN_HEAD]
    for name, (_, what) in declarations(Config).items():
        assert isinstance(what, Table)
        header = f"[[{name}]]" if what.repeated else f"[{name}]"
        parts.append(
            f"## `{header}`\n\n{_summary(what.section)}\n\n{_markdown_table(what.section)}"
        )
    return "\n".join(parts)


_MARKDOWN_HEAD: Final = """\
# Configuration

One TOML file says everything. `python -m pipeline config check FILE` reads it as `run` would and
lists every problem at once; `config show FILE` prints what is in force, defaults included;
`config reference` prints the same as this page as a commented file. This page is written by
`python -m pipeline config reference --markdown`; a test fails when it is not current.

Secrets are never written into the file: `access_token` is a reference, `"file:PATH"` (mode 0600,
read at each connect, so a new token takes effect without a restart) or `"env:NAME"`.
"""


def _markdown_table(section: type[Any], prefix: str = "") -> str:
    rows = []
    nested = []
    for name, (field, what) in declarations(section).items():
        if isinstance(what, Table):
            word = toml_value(what.word) if what.word else ""
            takes = f"{word}, or a table: see below" if word else "a table: see below"
            default = f"`{word}`" if word else "none"
            rows.append(f"| `{prefix}{name}` | {default} | {takes} | {what.doc} |")
            nested.append(_markdown_table(what.section, f"{name}."))
            continue
        default = "required" if field.default is MISSING else "none"
        if field.default is not MISSING and field.default is not None:
            default = f"`{toml_value(field.default)}`"
        allowed = what.kind.allowed.replace("|", "\\|")
        rows.append(f"| `{prefix}{name}` | {default} | {allowed} | {what.doc} |")
    head = "| key | default | takes | meaning |\n|---|---|---|---|\n"
    return "\n".join([head + "\n".join(rows) + "\n", *nested])
