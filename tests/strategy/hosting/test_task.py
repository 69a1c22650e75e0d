"""What is to be hosted travels over a descriptor, whatever the params hold."""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path

from pipeline.core.enums import Reason
from pipeline.strategy.hosting.task import Hosting, dump, take
from pipeline.strategy.items import Restart


def test_what_is_dumped_is_taken_and_the_descriptor_is_empty_then() -> None:
    hosting = Hosting(
        instance="i",
        shm_directory="/dev/shm",
        number=3,
        label="name",
        entry="module:Class",
        search_path=("/a", "/b"),
        params={"text": "x" * 200_000, "day": datetime.date(2026, 1, 26), "rate": float("inf")},
        instruments_file=None,
        owner="alice",
        slow="skip",
        nap_us=50,
        report_after_s=1.5,
        log_level="info",
        log_format="json",
        restart=Restart(restarts=2, exit_code=-9, reason=Reason.PROCESS_KILLED, end_ts_ns=5),
    )
    with tempfile.TemporaryFile() as file:
        file.write(dump(hosting))
        file.seek(0)
        assert take(file.fileno()) == hosting
        assert os.read(file.fileno(), 10) == b""
        assert os.fstat(file.fileno()).st_rdev == Path(os.devnull).stat().st_rdev
