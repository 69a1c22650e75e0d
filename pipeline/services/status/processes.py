"""Supervised processes and decoders, as their pages say. Floor 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.core import layout
from pipeline.core.enums import Reason, Role, SegmentKind
from pipeline.services.status.model import BadFrame, Decoder, Process
from pipeline.services.status.pages import age_s, attach, latency, text
from pipeline.shm.identity import is_alive
from pipeline.shm.instance import ManifestEntry
from pipeline.shm.names import InstancePaths


def read_supervisor(
    paths: InstancePaths, manifest: tuple[ManifestEntry, ...]
) -> np.ndarray[Any, Any]:
    """Return a copy of the supervisor's page; zeros before it is made."""
    kind = SegmentKind.SUPERVISOR_STATUS
    if not any(e.kind is kind for e in manifest):
        return np.zeros((), layout.dtypes["SupervisorStatusC"])
    return attach(paths, kind, 0).record("SupervisorStatusC").copy()


def processes(supervisor: np.ndarray[Any, Any], now_mono_ns: int) -> list[Process]:
    """Return the rows of the supervisor's page; a connection's that is gone is free again."""
    count = min(int(supervisor["process_count"]), layout.supervised_processes)
    rows = supervisor["processes"][:count]
    return [_process(row, now_mono_ns) for row in rows if int(row["role"]) != Role.NONE]


def _process(row: np.void, now: int) -> Process:
    pid = int(row["pid"])
    has_exited = int(row["last_exit_ts_ns"]) > 0
    return Process(
        name=text(row["name"]),
        role=Role(int(row["role"])).name.lower(),
        number=int(row["number"]),
        pid=pid,
        alive=is_alive(pid, int(row["start_time"])),
        uptime_s=age_s(int(row["started_mono_ns"]), now) if pid else None,
        restarts=int(row["restarts"]),
        consecutive_deaths=int(row["consecutive_deaths"]),
        circuit_open=bool(row["circuit_open"]),
        last_exit_code=int(row["last_exit_code"]) if has_exited else None,
        last_exit_reason=Reason(int(row["last_exit_reason"])).name if has_exited else None,
        last_exit_ts_ns=int(row["last_exit_ts_ns"]),
    )


def read_decoders(
    paths: InstancePaths, manifest: tuple[ManifestEntry, ...], now_mono_ns: int
) -> list[Decoder]:
    """Return the decoders of the manifest by number."""
    numbers = sorted(e.number for e in manifest if e.kind is SegmentKind.DECODER_STATUS)
    return [_decoder(paths, number, now_mono_ns) for number in numbers]


def _decoder(paths: InstancePaths, number: int, now: int) -> Decoder:
    segment = attach(paths, SegmentKind.DECODER_STATUS, number)
    record = segment.record("DecoderStatusC").copy()
    head = record["head"]
    return Decoder(
        number=number,
        pid=int(head["pid"]),
        alive=is_alive(int(head["pid"]), int(head["start_time"])),
        heartbeat_age_s=age_s(int(head["heartbeat_mono_ns"]), now),
        generation=int(head["generation"]),
        commits=int(record["commits"]),
        paced=int(record["paced"]),
        rolled_forward=int(record["rolled_forward"]),
        receive_to_publish=latency(segment, "DecoderStatusC", "receive_to_publish"),
        bad_frame=_bad_frame(record["bad_frame"]),
    )


def _bad_frame(kept: np.ndarray[Any, Any]) -> BadFrame | None:
    if not kept["receive_ts_ns"]:
        return None
    size = int(kept["length"])
    return BadFrame(
        connection=int(kept["connection"]),
        source_sequence=int(kept["source_sequence"]),
        receive_ts_ns=int(kept["receive_ts_ns"]),
        frame_bytes=size,
        fault="trailing bytes" if kept["trailing"] else "short",
        beginning=kept["bytes"].tobytes()[:size].hex(),
    )
