"""The shared-memory layout as Python sees it, re-exported from floor 0. Floor 1.

Everything else above floor 0 takes dtypes and sizes from here; `ext/layout.h` is the source.
"""

from __future__ import annotations

import pipeline.core.compiled  # noqa: F401 (it refuses modules that are older than their sources)
from ext.layout import (
    data_offset,
    depth_levels,
    describe,
    dtypes,
    fingerprint,
    histogram_buckets,
    layout_version,
    magic,
    manifest_entries,
    name_bytes,
    reader_cursors,
    supervised_processes,
    tick_dtype,
    topology_rows,
    unit_records,
)

__all__ = [
    "data_offset",
    "depth_levels",
    "describe",
    "dtypes",
    "fingerprint",
    "histogram_buckets",
    "layout_version",
    "magic",
    "manifest_entries",
    "name_bytes",
    "reader_cursors",
    "supervised_processes",
    "topology_rows",
    "tick_dtype",
    "unit_records",
]
