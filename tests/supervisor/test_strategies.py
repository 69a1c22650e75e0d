"""The end of a session: whatever a strategy leaves behind goes with it."""

from __future__ import annotations

import os
import subprocess
import sys

from pipeline.shm.identity import start_time
from pipeline.supervisor.strategies import end_session
from tests.supervisor.harness import wait_for

LEADER = """
import os, subprocess, sys
line = [sys.executable, "-c", "import time; time.sleep(3600)"]
print(*(subprocess.Popen(line, process_group=group).pid for group in (None, None, 0)), flush=True)
"""


def test_what_a_dead_leader_left_is_killed() -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER], stdout=subprocess.PIPE, start_new_session=True
    )
    assert leader.stdout is not None
    children = [int(pid) for pid in leader.stdout.readline().split()]
    leader.stdout.close()
    assert os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT) is not None
    assert len(children) == 3 and all(map(start_time, children))
    end_session(leader.pid)
    wait_for(lambda: not any(map(start_time, children)), "the children to be gone")
    assert leader.wait() == 0


def test_without_anything_left_nothing_happens() -> None:
    leader = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOWAIT)
    end_session(leader.pid)
    assert leader.wait() == 0
