"""The truth log: what the simulated exchange really handed to the kernel. Floor 4.

    offset 0      magic "SIMTRUTH"                       8 bytes
    offset 8      version, header bytes, record bytes    3 x u32, little-endian
    offset 20     length of the JSON text                u32
    offset 24     JSON: {"dtype": [...], "seed": ..., "mode": ..., ...}
    offset 4096   records of `truth_dtype`, 48 bytes each, to the end of the file

One record per packet, written once the last byte of its frame was taken by send(); the times are
those of that send. `session` is the n-th accepted socket, `connection` the pipeline's number of it
(-1: the client did not say), `frame` counts the data frames of a session, `sequence` is the
instrument's full sequence, also where the packet carries its low 12 bits only. `kind`: 0 fresh;
1 cached, a repeat of the state after a subscribe or a change of mode; 2 lying, a whole packet
before the fault in a malformed frame, which a strict reader may still accept.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ext.simulate import KIND_CACHED, KIND_FRESH, KIND_LYING, truth_dtype
from pipeline.core.errors import PipelineError

MAGIC: Final = b"SIMTRUTH"
VERSION: Final = 1
HEADER_BYTES: Final = 4096
_PREFIX: Final = struct.Struct("<8s4I")
KINDS: Final = {KIND_FRESH: "fresh", KIND_CACHED: "cached", KIND_LYING: "lying"}
MODES: Final = {1: "ltp", 2: "quote", 3: "full"}

TruthArray = npt.NDArray[Any]


def create_truth(path: Path, about: Mapping[str, object]) -> int:
    """Make a truth file with its header; return a descriptor to append records to.

    The caller closes it. An existing file is replaced, unless it is of the same run (`about` is
    the same): then its whole records stay and the new ones follow.
    """
    if path.is_file() and _is_of(path, about):
        return _continue(path)
    text = json.dumps({"dtype": truth_dtype.descr, **about}).encode()
    if _PREFIX.size + len(text) > HEADER_BYTES:
        raise ValueError(f"header text of {len(text)} bytes: more than {HEADER_BYTES} in all")
    head = _PREFIX.pack(MAGIC, VERSION, HEADER_BYTES, truth_dtype.itemsize, len(text)) + text
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.write(descriptor, head.ljust(HEADER_BYTES, b"\0"))
    return descriptor


def _is_of(path: Path, about: Mapping[str, object]) -> bool:
    try:
        found = read_about(path)
    except PipelineError:
        return False
    return {key: value for key, value in found.items() if key != "dtype"} == about


def _continue(path: Path) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    records = (os.fstat(descriptor).st_size - HEADER_BYTES) // truth_dtype.itemsize
    os.ftruncate(descriptor, HEADER_BYTES + records * truth_dtype.itemsize)
    return descriptor


def read_about(path: Path) -> dict[str, Any]:
    """Return the header's JSON; raise PipelineError if this is no truth file of this version."""
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or head[:8] != MAGIC:
        raise PipelineError(f"{path} is no truth log: expected a file that `sim --truth` wrote")
    _, version, header_bytes, record_bytes, length = _PREFIX.unpack_from(head)
    expected = (VERSION, HEADER_BYTES, truth_dtype.itemsize)
    if (version, header_bytes, record_bytes) != expected:
        raise PipelineError(
            f"{path}: truth log version, header and record bytes "
            f"{(version, header_bytes, record_bytes)}, expected {expected}"
        )
    about = json.loads(head[_PREFIX.size : _PREFIX.size + length])
    assert isinstance(about, dict)
    return about


def read_truth(path: Path) -> TruthArray:
    """Map a truth log read-only: (n,) truth_dtype, in the order of sending.

    A record cut short by a crash of the writer is left out.
    """
    read_about(path)
    count = (path.stat().st_size - HEADER_BYTES) // truth_dtype.itemsize
    if count == 0:
        return np.empty(0, truth_dtype)
    return np.memmap(path, truth_dtype, mode="r", offset=HEADER_BYTES, shape=(count,))


def summarise(records: TruthArray) -> dict[str, Any]:
    """Return counts of a truth log as plain numbers: in all, by mode, kind and session."""
    count = len(records)
    summary: dict[str, Any] = {"packets": count}
    if not count:
        return summary
    first, last = int(records["send_ts_ns"][0]), int(records["send_ts_ns"][-1])
    sessions = []
    for number in np.unique(records["session"]):
        of_session = records[records["session"] == number]
        sessions.append(
            {
                "session": int(number),
                "connection": int(of_session["connection"][0]),
                "packets": len(of_session),
                "frames": int(of_session["frame"].max()) + 1,
                "instruments": len(np.unique(of_session["instrument_token"])),
                "first_ts_ns": int(of_session["send_ts_ns"][0]),
                "last_ts_ns": int(of_session["send_ts_ns"][-1]),
            }
        )
    return {
        **summary,
        "instruments": len(np.unique(records["instrument_token"])),
        "first_ts_ns": first,
        "last_ts_ns": last,
        "seconds": (last - first) / 1e9,
        "modes": _counts(records["mode"], MODES),
        "kinds": _counts(records["kind"], KINDS),
        "sessions": sessions,
    }


def _counts(values: npt.NDArray[Any], names: Mapping[int, str]) -> dict[str, int]:
    found, counts = np.unique(values, return_counts=True)
    return {
        names.get(int(value), str(value)): int(n) for value, n in zip(found, counts, strict=True)
    }
