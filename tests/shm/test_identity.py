"""Who a process is: also when its name is half a character."""

from __future__ import annotations

import subprocess
import sys

from pipeline.shm.identity import is_alive, own_identity, start_time

_RENAMED = """
import sys
open("/proc/self/comm", "wb").write(b") \\xd1\\xd1 (")
print(flush=True)
sys.stdin.read()
"""


def test_a_process_is_known_by_pid_and_start() -> None:
    pid, started = own_identity()
    assert is_alive(pid, started)
    assert not is_alive(pid, started + 1)
    assert not is_alive(0, started)


def test_a_name_that_is_no_text_hides_no_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _RENAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        started = start_time(process.pid)
        assert started != 0
        assert is_alive(process.pid, started)
        process.stdin.close()
        process.wait()
    assert not is_alive(process.pid, started)
