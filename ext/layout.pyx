"""The numpy view of `layout.h`: dtypes, codes, sizes and the layout's fingerprint.

Floor 0. Nothing is spelled a second time here: the compiler's `offsetof` and `sizeof`, in the
table that `generate_layout.py` writes, say where each field lies.
"""
import hashlib

from libc.stdint cimport uint64_t

import numpy as np


cdef extern from "layout_fields.h" nogil:
    ctypedef struct LayoutField:
        const char *struct_name
        const char *field_name
        const char *type_name
        size_t count
        size_t offset
        size_t size
    const LayoutField LAYOUT_FIELDS[1]
    const size_t LAYOUT_FIELD_COUNT
    const uint64_t EXT_SOURCES  # given by setup.py


_SCALARS = {
    "uint8_t": "u1", "uint16_t": "<u2", "uint32_t": "<u4", "uint64_t": "<u8",
    "int32_t": "<i4", "int64_t": "<i8", "double": "<f8",
}


def _read_structs():
    """Return {struct: (size, [(name, type, count, offset, size)])}, in the header's order."""
    cdef size_t i
    structs = {}
    for i in range(LAYOUT_FIELD_COUNT):
        row = LAYOUT_FIELDS[i]
        struct, name = row.struct_name.decode(), row.field_name.decode()
        if not name:
            structs[struct] = (row.size, [])
        else:
            structs[struct][1].append((name, row.type_name.decode(), row.count, row.offset, row.size))
    return structs


def _build_dtypes(structs):
    """Return {struct: dtype}; `_pad` members are left out, so the dtypes show only fields."""
    dtypes = {}
    for struct, (size, fields) in structs.items():
        shown = [f for f in fields if not f[0].startswith("_pad")]
        formats = []
        for name, type_name, count, offset, field_size in shown:
            base = dtypes[type_name] if type_name in dtypes else np.dtype(_SCALARS[type_name])
            formats.append((base, (count,)) if count else base)
        dtypes[struct] = np.dtype({
            "names": [f[0] for f in shown],
            "formats": formats,
            "offsets": [f[3] for f in shown],
            "itemsize": size,
        })
    return dtypes


def describe():
    """Return the layout as text, a line per struct and field: the golden file and fingerprint.

    A line is `struct bytes` or `    field type[count] @offset bytes`; padding is included.
    """
    lines = [f"layout version {LAYOUT_VERSION}"]
    for struct, (size, fields) in _STRUCTS.items():
        lines.append(f"{struct} {size}")
        for name, type_name, count, offset, field_size in fields:
            array = f"[{count}]" if count else ""
            lines.append(f"    {name} {type_name}{array} @{offset} {field_size}")
    return "\n".join(lines) + "\n"


_STRUCTS = _read_structs()

#: {C struct name: numpy dtype}, for every struct of `layout.h`.
dtypes = _build_dtypes(_STRUCTS)

#: The public tick record: (n,) arrays of it are what decoders write and strategies read.
tick_dtype = dtypes["TickC"]

#: The first 8 bytes of the SHA-256 of `describe()`, as an unsigned integer; in every segment header.
fingerprint = int.from_bytes(hashlib.sha256(describe().encode()).digest()[:8], "little")

#: The number that `sources.py` made of all sources at the build.
sources = EXT_SOURCES

magic = SEGMENT_MAGIC
layout_version = LAYOUT_VERSION
data_offset = DATA_OFFSET
unit_records = UNIT_RECORDS
depth_levels = DEPTH_LEVELS
name_bytes = NAME_BYTES
manifest_entries = MANIFEST_ENTRIES
reader_cursors = READER_CURSORS
supervised_processes = SUPERVISED_PROCESSES
topology_rows = TOPOLOGY_ROWS
histogram_buckets = HISTOGRAM_BUCKETS
