"""Checks of the machine, on trees that stand for good and bad machines."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli.doctor import machine as checks
from pipeline.cli.doctor.finding import Finding, Level, Machine


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], Machine]:
    def write(path: str, text: str) -> Machine:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        return Machine(tmp_path)

    return write


Put = Callable[[str, str], Machine]


def only(found: object) -> Finding:
    [finding] = list(found)  # type: ignore[call-overload]
    assert isinstance(finding, Finding)
    return finding


def test_every_check_runs_here_and_what_is_wrong_has_a_remedy() -> None:
    for check in checks.CHECKS:
        for finding in check(Machine()):
            assert finding.text
            assert finding.level is Level.OK or finding.mend, finding


def test_two_processors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert only(checks.check_processors(Machine(tmp_path))).level is Level.OK
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    found = only(checks.check_processors(Machine(tmp_path)))
    assert found.level is Level.WARN and "--cpus=2" in found.mend


def test_control_group_limits_processors(monkeypatch: pytest.MonkeyPatch, put: Put) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    found = only(checks.check_processors(put("sys/fs/cgroup/cpu.max", "150000 100000\n")))
    assert found.level is Level.WARN and "1.5" in found.text
    assert (
        only(checks.check_processors(put("sys/fs/cgroup/cpu.max", "max 100000"))).level is Level.OK
    )


def test_power_saving(monkeypatch: pytest.MonkeyPatch, put: Put) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    machine = put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    assert [f.level for f in checks.check_processors(machine)] == [Level.OK, Level.WARN]


@pytest.mark.parametrize(
    ("soft", "level"), [(64, Level.BAD), (512, Level.WARN), (1024, Level.OK), (-1, Level.OK)]
)
def test_open_files(monkeypatch: pytest.MonkeyPatch, soft: int, level: Level) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (soft, -1))
    found = only(checks.check_files(Machine()))
    assert found.level is level
    assert level is Level.OK or found.mend.startswith("ulimit -n 4096")


def test_log_in_manager(monkeypatch: pytest.MonkeyPatch, put: Put) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("USER", "trader")
    machine = put("run/systemd/system/x", "")
    assert only(checks.check_log_in(machine)).level is Level.WARN
    put("etc/systemd/logind.conf", "[Login]\n#RemoveIPC=no\nRemoveIPC=no\n")
    assert only(checks.check_log_in(machine)).level is Level.OK
    put("etc/systemd/logind.conf.d/50.conf", "[Login]\nRemoveIPC = yes\n")
    assert "linger" in only(checks.check_log_in(machine)).mend
    put("var/lib/systemd/linger/trader", "")
    assert only(checks.check_log_in(machine)).level is Level.OK


def test_without_systemd(tmp_path: Path) -> None:
    assert only(checks.check_log_in(Machine(tmp_path))).level is Level.OK


@pytest.mark.parametrize(("source", "level"), [("tsc", Level.OK), ("hpet", Level.WARN)])
def test_clock_source(monkeypatch: pytest.MonkeyPatch, put: Put, source: str, level: Level) -> None:
    monkeypatch.setattr(checks, "_is_synchronised", lambda: True)
    machine = put("sys/devices/system/clocksource/clocksource0/current_clocksource", source)
    assert next(iter(checks.check_clocks(machine))).level is level


def test_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "_is_synchronised", lambda: False)
    *_, found = checks.check_clocks(Machine(tmp_path))
    assert found.level is Level.WARN and "set-ntp" in found.mend


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd is Linux's")
def test_a_sandbox_without_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    found = only(checks.check_process_control(Machine()))
    assert found.level is Level.BAD and "seccomp" in found.mend


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd is Linux's")
def test_ignored_child_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    levels = [f.level for f in checks.check_process_control(Machine())]
    assert levels == [Level.OK, Level.WARN]


@pytest.mark.parametrize("scope", ["0", "1"])
def test_tracing(put: Put, scope: str) -> None:
    found = only(checks.check_tracing(put("proc/sys/kernel/yama/ptrace_scope", scope)))
    assert found.level is Level.OK and (scope in found.text) == (scope == "1")


@pytest.mark.parametrize(
    ("platform", "level"), [("linux", Level.OK), ("darwin", Level.WARN), ("win32", Level.BAD)]
)
def test_systems(monkeypatch: pytest.MonkeyPatch, platform: str, level: Level) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert only(checks.check_system(Machine())).level is level
