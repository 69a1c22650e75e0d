"""Derive `layout.pxd`, `layout.pyi` and `layout_fields.h` from `layout.h`, the single source.

Run by `setup.py` before it compiles; the results are committed so that they can be read and
reviewed, and a test fails when they are stale. Offsets and sizes are not computed here: the
field table leaves them to the compiler's `offsetof` and `sizeof`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

HEADER_NAME = "layout.h"

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CONSTANT = re.compile(r"^#define (\w+) +\S", re.MULTILINE)
_TYPE = re.compile(
    r"enum (?P<enum>\w+) \{(?P<members>.*?)\};|typedef struct \{(?P<fields>.*?)\} (?P<struct>\w+);",
    re.DOTALL,
)
_FIELD = re.compile(r"^(\w+) (\w+)(?:\[(\w+)\])?$")
_NOT_A_VALUE = {"PIPELINE_LAYOUT_H", "SEGMENT_MAGIC"}


class Field(NamedTuple):
    """One member of a C struct; `length` is the C text of its array length, or None."""

    type: str
    name: str
    length: str | None


class Layout(NamedTuple):
    """What `layout.h` declares, in its own order."""

    constants: list[str]
    enums: dict[str, list[str]]
    structs: dict[str, list[Field]]


def parse(text: str) -> Layout:
    """Read the header; raise ValueError at a struct member that this reader cannot place."""
    code = _COMMENT.sub("", text)
    layout = Layout([n for n in _CONSTANT.findall(code) if n not in _NOT_A_VALUE], {}, {})
    for match in _TYPE.finditer(code):
        if match["enum"]:
            members = [m.split("=")[0].strip() for m in match["members"].split(",")]
            layout.enums[match["enum"]] = [m for m in members if m]
        else:
            layout.structs[match["struct"]] = [_field(m) for m in _statements(match["fields"])]
    return layout


def _statements(body: str) -> list[str]:
    return [" ".join(s.split()) for s in body.split(";") if s.strip()]


def _field(statement: str) -> Field:
    match = _FIELD.match(statement)
    if match is None:
        raise ValueError(f"{HEADER_NAME}: cannot read the struct member {statement!r}")
    return Field(match[1], match[2], match[3])


def pxd_text(layout: Layout) -> str:
    """The `extern` declarations for Cython."""
    lines = [
        '"""Extern declarations of `layout.h`, written by `generate_layout.py`: do not edit."""',
        "from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t",
        "",
        "",
        'cdef extern from "layout.h" nogil:',
        "    enum:",
        *(f"        {name}" for name in layout.constants),
        "    const uint64_t SEGMENT_MAGIC",
    ]
    for name, members in layout.enums.items():
        lines += ["", f"    cpdef enum {name}:", *(f"        {member}" for member in members)]
    for name, fields in layout.structs.items():
        lines += ["", f"    ctypedef struct {name}:"]
        lines += [f"        {f.type} {f.name}{f'[{f.length}]' if f.length else ''}" for f in fields]
    return "\n".join(lines) + "\n"


_STUB_HEAD = '''"""Types of `layout.pyx`, written by `generate_layout.py`: do not edit."""

from enum import IntEnum
from typing import Any

import numpy as np

dtypes: dict[str, np.dtype[Any]]
tick_dtype: np.dtype[Any]
fingerprint: int
sources: int
magic: int
layout_version: int
data_offset: int
unit_records: int
depth_levels: int
name_bytes: int
manifest_entries: int
reader_cursors: int
supervised_processes: int
topology_rows: int
histogram_buckets: int

def describe() -> str: ...
'''


def pyi_text(layout: Layout) -> str:
    """The stub: what `layout.pyx` defines, and the enums as Cython makes them."""
    classes = [
        f"\nclass {name}(IntEnum):\n" + "".join(f"    {member} = ...\n" for member in members)
        for name, members in layout.enums.items()
    ]
    return _STUB_HEAD + "".join(classes)


def table_text(layout: Layout) -> str:
    """A C table of every field, from which `layout.pyx` builds the dtypes."""
    rows = []
    for struct, fields in layout.structs.items():
        rows.append(f'    {{"{struct}", "", "", 0, 0, sizeof({struct})}},')
        for f in fields:
            rows.append(
                f'    {{"{struct}", "{f.name}", "{f.type}", {f.length or 0}, '
                f"offsetof({struct}, {f.name}), sizeof((({struct} *)0)->{f.name})}},"
            )
    return "\n".join(
        [
            "/* Written by generate_layout.py from layout.h: do not edit. */",
            '#include "layout.h"',
            "",
            "typedef struct {",
            "    const char *struct_name;",
            '    const char *field_name; /* "" = the struct itself */',
            "    const char *type_name;",
            "    size_t count; /* 0 = no array */",
            "    size_t offset;",
            "    size_t size;",
            "} LayoutField;",
            "",
            "static const LayoutField LAYOUT_FIELDS[] = {",
            *rows,
            "};",
            "",
            "static const size_t LAYOUT_FIELD_COUNT ="
            " sizeof(LAYOUT_FIELDS) / sizeof(LAYOUT_FIELDS[0]);",
            "",
        ]
    )


def texts(layout: Layout) -> dict[str, str]:
    """Return {file name: contents} of everything that is derived."""
    return {
        "layout.pxd": pxd_text(layout),
        "layout.pyi": pyi_text(layout),
        "layout_fields.h": table_text(layout),
    }


def generate(folder: Path) -> None:
    """Write the results beside the header, touching only what changed."""
    for name, text in texts(parse((folder / HEADER_NAME).read_text())).items():
        target = folder / name
        if not target.exists() or target.read_text() != text:
            target.write_text(text)


if __name__ == "__main__":
    generate(Path(__file__).parent)
