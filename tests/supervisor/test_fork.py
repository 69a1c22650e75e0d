"""A forked child: what it inherits, what it does not, and that it never comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.supervisor.harness import ROOT, wait_for

PRELUDE = """
import os, signal, sys, time
from pipeline.supervisor.fork import fork
from pipeline.supervisor.signals import SignalInbox

def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run(code: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    ("body", "exit_code"),
    [
        ("lambda: 0", 0),
        ("lambda: 77", 77),
        ("lambda: sys.exit(3)", 3),
        ("lambda: sys.exit('words')", 1),
        ("lambda: 1 // 0", 1),
        ("lambda: os.abort()", -signal.SIGABRT),
    ],
)
def test_the_exit_code_is_what_the_body_returns(body: str, exit_code: int) -> None:
    result = run(f"print(wait(fork({body}, name='child', closers=[])))")
    assert result.stdout == f"{exit_code}\n"


def test_an_error_is_told_once_with_its_traceback_and_the_parent_s_code_does_not_run() -> None:
    result = run("""
import atexit, logging
logging.basicConfig(format="%(message)s")
atexit.register(print, "at exit")
try:
    pid = fork(lambda: {}["a missing key"], name="child", closers=[])
    wait(pid)
finally:
    print("finally", flush=True)
""")
    assert result.stdout == "finally\nat exit\n"
    assert result.stderr.count("KeyError: 'a missing key'") == 1
    assert "child ends by an error of its own" in result.stderr


def test_what_a_child_s_log_held_back_is_told_at_its_end() -> None:
    result = run("""
import logging
from pipeline.core import logs
def body():
    logs.set_up(role="child")
    for number in range(3):
        logging.getLogger("pipeline").warning("again %d", number)
    return 0
wait(fork(body, name="child", closers=[]))
""")
    first, rest = result.stderr.splitlines()
    assert first.endswith("again 0")
    assert rest.endswith("again 2 (one of 2 like it)")


def test_the_child_has_default_signals_but_ignores_interrupts() -> None:
    result = run("""
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests under nohup ignores it
inbox = SignalInbox()
def body():
    names = [signal.getsignal(n).name for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    print(*names, signal.set_wakeup_fd(-1), sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    sys.stdout.flush()
    return 0
wait(fork(body, name="child", closers=[inbox.close]))
print(len(inbox.take()), signal.pthread_sigmask(signal.SIG_BLOCK, []))
""")
    assert result.stdout == "SIG_DFL SIG_DFL SIG_IGN -1 [<Signals.SIGINT: 2>]\n0 set()\n", (
        result.stderr
    )


def test_what_is_closed_in_the_child_stays_open_in_the_parent() -> None:
    result = run("""
read, write = os.pipe()
def body():
    return int(os.path.exists(f"/proc/self/fd/{read}"))
print(wait(fork(body, name="child", closers=[lambda: os.close(read)])))
os.write(write, b"x")
print(os.read(read, 1))
""")
    assert result.stdout == "0\nb'x'\n"


def test_the_child_is_named_after_its_role() -> None:
    result = run("""
body = lambda: print(open("/proc/self/comm").read(), flush=True) or 0
wait(fork(body, name="decoder 0 and more", closers=[]))
""")
    assert result.stdout.startswith("decoder 0 and m\n")


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    code = f"""
pid = fork(lambda: time.sleep(3600), name="child", closers=[])
open({str(tmp_path / "pid")!r}, "w").write(str(pid))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(code).returncode == -signal.SIGKILL
    child = int((tmp_path / "pid").read_text())

    def is_gone() -> bool:
        stat = Path(f"/proc/{child}/stat")
        try:
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_for(is_gone, "the child to die")


@pytest.mark.full
def test_a_storm_of_signals_reaches_no_child_full() -> None:
    _storm(2000)


def test_a_storm_of_signals_reaches_no_child() -> None:
    _storm(100)


def _storm(forks: int) -> None:
    """Whatever signal comes while forking, no child gets one that was meant for the parent."""
    result = run(f"""
import subprocess
inbox = SignalInbox()
storm = subprocess.Popen([sys.executable, "-c", '''
import os, signal, sys
parent = os.getppid()
while os.getppid() == parent:
    os.kill(parent, signal.SIGTERM)
    os.kill(parent, signal.SIGINT)
'''])
while not inbox.take():
    time.sleep(0.001)
ends = [wait(fork(lambda: 7, name="child", closers=[inbox.close])) for _ in range({forks})]
storm.kill()
storm.wait()
print(set(ends), bool(inbox.take()))
""")
    assert result.stdout == "{7} True\n", result.stderr


def test_a_starter_that_ignores_its_children_leaves_ours_to_be_reaped() -> None:
    result = run("""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
inbox = SignalInbox()
print(wait(fork(lambda: 7, name="child", closers=[inbox.close])))
inbox.close()
print(signal.getsignal(signal.SIGCHLD).name)
""")
    assert result.stdout == "7\nSIG_IGN\n", result.stderr


@pytest.mark.parametrize("lost", ["sys.stdout = None", "os.close(1)", "sys.stdout.close()"])
def test_a_lost_standard_stream_prevents_no_fork(lost: str) -> None:
    result = run(f"""
print("words that nobody can be told")
{lost}
code = wait(fork(lambda: 7, name="child", closers=[]))
os._exit(code)
""")
    assert result.returncode == 7, result.stderr
