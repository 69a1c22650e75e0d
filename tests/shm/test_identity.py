"""Who a process is: also when its name is half a character."""

from __future__ import annotations

import subprocess
import sys
import time

from pipeline.shm.identity import is_alive, own_identity, start_time
from tests.conftest import ROOT

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


def test_an_age_goes_on_over_a_change_of_program() -> None:
    """As `./demo` does it: the shell becomes the interpreter, and keeps pid and start."""
    lines = f'sleep 0.5; exec "{sys.executable}" -c "$1"'
    asks = "from pipeline.shm.identity import own_age_s; print(own_age_s())"
    began_s = time.monotonic()
    found = subprocess.run(
        ["sh", "-c", lines, "sh", asks], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert 0.4 < float(found.stdout) < time.monotonic() - began_s + 0.1
