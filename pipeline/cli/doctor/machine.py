"""Checks of the machine: processors, limits, clocks, log-in manager, process control. Floor 6."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Final

from pipeline.cli.doctor.finding import Finding, Level, Machine, as_root

_FILES_NEEDED: Final = 256
_FILES_WANTED: Final = 1024
_GOOD_CLOCKS: Final = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page")
_CLOCK_SOURCE: Final = "sys/devices/system/clocksource/clocksource0/current_clocksource"
_GOVERNOR: Final = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
_LOGIND: Final = "etc/systemd/logind.conf"
_PR_GET_PDEATHSIG: Final = 2
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 512  # struct timex has 208 on 64-bit Linux


def check_system(machine: Machine) -> Iterator[Finding]:
    """Which operating system and processor."""
    text = f"{platform.system()} {platform.release()} on {platform.machine()}"
    if sys.platform == "linux":
        known = platform.machine() in ("x86_64", "aarch64")
        hint = "" if known else "tested on x86_64, compiled on aarch64: run ./check here first"
        yield Finding(Level.OK if known else Level.WARN, "system", text, hint)
    elif sys.platform == "darwin":
        hint = "readers poll here, as there are no futexes; use Linux for live trading"
        yield Finding(Level.WARN, "system", text, hint)
    else:
        hint = "run it in WSL2 or a Linux container"
        yield Finding(Level.BAD, "system", text, hint)


def check_processors(machine: Machine) -> Iterator[Finding]:
    """How many processors we may use."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    there = os.cpu_count() or allowed
    text = f"{allowed} of {there} may be used"
    quota = _quota(machine)
    if quota is not None and quota < allowed:
        text += f", limited to {quota:.1f} by the control group"
        allowed = int(quota)
    if allowed >= 2:
        yield Finding(Level.OK, "processors", text)
    else:
        mend = "give it two: docker run --cpus=2, or taskset -c 0,1, or a larger machine"
        yield Finding(Level.WARN, "processors", f"{text}; feeds and decoder share one", mend)
    governor = machine.read(_GOVERNOR)
    if governor == "powersave":
        mend = as_root("cpupower frequency-set -g performance")
        yield Finding(Level.WARN, "frequency", "the governor is powersave: slow to wake up", mend)


def _quota(machine: Machine) -> float | None:
    """Return how many processors the control group gives; None for no limit."""
    words = (machine.read("sys/fs/cgroup/cpu.max") or "max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def check_files(machine: Machine) -> Iterator[Finding]:
    """How many files a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= _FILES_WANTED:
        count = "without limit" if soft == unlimited else str(soft)
        yield Finding(Level.OK, "open files", count)
        return
    level = Level.BAD if soft < _FILES_NEEDED else Level.WARN
    mend = f"ulimit -n {min(4096, hard) if hard != unlimited else 4096}"
    text = f"{soft} at most, {_FILES_WANTED} are wanted"
    yield Finding(level, "open files", text, f"{mend} (systemd: LimitNOFILE=4096)")


def check_log_in(machine: Machine) -> Iterator[Finding]:
    """Whether the log-in manager deletes our segments when the user logs out."""
    if not machine.exists("run/systemd/system"):
        yield Finding(Level.OK, "log-in manager", "no systemd here")
        return
    value = _remove_ipc(machine)
    name = os.environ.get("USER", "")
    if value in ("no", "false", "0", "off") or os.geteuid() < 1000:
        text = f"RemoveIPC={value}" if os.geteuid() >= 1000 else "keeps this user's files"
        yield Finding(Level.OK, "log-in manager", text)
    elif name and machine.exists(f"var/lib/systemd/linger/{name}"):
        yield Finding(Level.OK, "log-in manager", "this user lingers")
    else:
        text = f"RemoveIPC={value}: a pipeline in the background loses /dev/shm at logout"
        mend = as_root("loginctl enable-linger $USER")
        yield Finding(Level.WARN, "log-in manager", text, mend)


def _remove_ipc(machine: Machine) -> str:
    """Return what the last of logind's files says; its own default is yes."""
    value = "yes"
    folder = machine.root / f"{_LOGIND}.d"
    names = [f"{_LOGIND}.d/{path.name}" for path in sorted(folder.glob("*.conf"))]
    for name in [_LOGIND, *names]:
        for line in (machine.read(name) or "").splitlines():
            key, _, found = line.partition("=")
            if key.strip() == "RemoveIPC":
                value = found.strip().lower()
    return value


def check_clocks(machine: Machine) -> Iterator[Finding]:
    """Whether reading the clock is quick, and whether it is right."""
    source = machine.read(_CLOCK_SOURCE)
    if source is None or source in _GOOD_CLOCKS:
        yield Finding(Level.OK, "clock source", source or "not told here")
    else:
        mend = as_root(f"sh -c 'echo tsc > /{_CLOCK_SOURCE}'")
        text = f"{source}: reading the clock takes a system call or worse"
        yield Finding(Level.WARN, "clock source", text, mend)
    if _is_synchronised():
        yield Finding(Level.OK, "clock", "synchronised")
    else:
        text = "not synchronised: receive times drift against exchange times"
        yield Finding(Level.WARN, "clock", text, as_root("timedatectl set-ntp true"))


def _is_synchronised() -> bool:
    """Ask the kernel, without changing anything; true where it cannot be asked."""
    try:
        adjtimex = ctypes.CDLL(None).ntp_adjtime
    except (OSError, AttributeError):
        return True
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    return int(adjtimex(buffer)) != _TIME_ERROR


def check_process_control(machine: Machine) -> Iterator[Finding]:
    """What the supervisor needs to watch its children and to take them along."""
    if sys.platform != "linux":
        text = "no pidfd, no PDEATHSIG: after kill -9 of the supervisor children may stay"
        yield Finding(Level.WARN, "process control", text, "use Linux for live trading")
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        text = f"pidfd_open is refused ({error.strerror}): a kernel before 5.3, or a sandbox"
        mend = "a newer kernel; in a container: --security-opt seccomp=unconfined"
        yield Finding(Level.BAD, "process control", text, mend)
        return
    held = ctypes.c_int(0)
    if ctypes.CDLL(None).prctl(_PR_GET_PDEATHSIG, ctypes.byref(held), 0, 0, 0) != 0:
        text = "prctl(PDEATHSIG) is refused: children would outlive the supervisor"
        mend = "in a container: --security-opt seccomp=unconfined"
        yield Finding(Level.BAD, "process control", text, mend)
        return
    yield Finding(Level.OK, "process control", "pidfd and PDEATHSIG work")
    ignored = signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    if ignored:
        text = "SIGCHLD is ignored here and children inherit that: exit codes would be lost"
        yield Finding(Level.WARN, "signals", text, "start from an ordinary shell")


def check_tracing(machine: Machine) -> Iterator[Finding]:
    """Whether a running process can be looked into (py-spy, gdb) when something is odd."""
    scope = machine.read("proc/sys/kernel/yama/ptrace_scope")
    if scope in (None, "0"):
        yield Finding(Level.OK, "tracing", "debuggers may attach")
    else:
        text = f"ptrace_scope={scope}: only root can attach py-spy or gdb to a process"
        yield Finding(Level.OK, "tracing", text)


CHECKS: Final = (
    check_system,
    check_processors,
    check_files,
    check_log_in,
    check_clocks,
    check_process_control,
    check_tracing,
)
