"""What a start asks of the machine: idle processors that wake quickly, as long as it runs."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

from pipeline.core.exit_codes import ExitCode
from tests.idle_machine import DEVICE, add_device, add_driver
from tests.supervisor.harness import Instance

ASKED = "cpu_dma_latency_us = 25"
MACHINE = "machine"  # the folder that the fake instance's supervisor takes for the root


def holds(pid: int, device: Path) -> bool:
    """Return whether a process has it open; others of its descriptors may come and go."""
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(path.readlink())
    return device in found


def test_the_supervisor_alone_holds_the_request(
    make_instance: Callable[..., Instance], tmp_path: Path
) -> None:
    device = add_device(tmp_path / MACHINE)
    add_driver(tmp_path / MACHINE, "intel_idle\n")
    instance = make_instance(connections=1, instance=ASKED).start_and_wait(names=3)
    assert instance.process is not None
    assert device.read_bytes() == struct.pack("=i", 25)
    assert holds(instance.process.pid, device)
    children = [pid for _, pid, *_ in instance.starts()]
    assert len(children) == 3
    assert not any(holds(pid, device) for pid in children)
    assert instance.stop() == ExitCode.DONE
    assert "asked to wake up within 25 us" in instance.log_text()
    instance.assert_nothing_left()


def test_without_the_device_it_runs_and_says_so_once(
    make_instance: Callable[..., Instance], tmp_path: Path
) -> None:
    instance = make_instance(connections=1, instance=ASKED).start_and_wait(names=3)
    assert instance.stop() == ExitCode.DONE
    [line] = [one for one in instance.log_text().splitlines() if "cpu_dma_latency_us" in one]
    assert "WARNING" in line.upper()
    assert "= 25 is not in force, and latencies" in line
    assert f"{tmp_path / MACHINE / DEVICE}: No such file" in line
    assert line.endswith("or remove the setting")
    instance.assert_nothing_left()


def test_without_a_driver_it_runs_and_promises_nothing(
    make_instance: Callable[..., Instance], tmp_path: Path
) -> None:
    device = add_device(tmp_path / MACHINE)
    add_driver(tmp_path / MACHINE, "none\n")
    instance = make_instance(connections=1, instance=ASKED).start_and_wait(names=3)
    assert instance.stop() == ExitCode.DONE
    [line] = [one for one in instance.log_text().splitlines() if "cpu_dma_latency_us" in one]
    assert "WARNING" in line.upper()
    assert "= 25 is not in force" in line
    assert "without it: Linux has no cpuidle driver here" in line
    assert "; remove the setting: naps help here" in line
    assert "asked to wake up" not in instance.log_text()
    assert device.read_bytes() == b""
    instance.assert_nothing_left()


def test_unasked_it_leaves_the_device_alone(
    make_instance: Callable[..., Instance], tmp_path: Path
) -> None:
    device = add_device(tmp_path / MACHINE)
    instance = make_instance(connections=1).start_and_wait(names=3)
    assert instance.process is not None
    assert not holds(instance.process.pid, device)
    assert instance.stop() == ExitCode.DONE
    assert device.read_bytes() == b""
    assert "cpu_dma_latency" not in instance.log_text()
