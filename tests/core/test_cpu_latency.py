"""The request for processors that wake quickly, on files that stand for device and driver."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import cpu_latency
from pipeline.core.cpu_latency import HeldLatency, in_force_us, require_heeded
from pipeline.core.errors import CpuLatencyRefused
from tests.idle_machine import add_device, add_driver


@pytest.fixture
def device(tmp_path: Path) -> Path:
    return add_device(tmp_path)


def descriptors(device: Path) -> list[int]:
    """Return our open descriptors of it."""
    links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [int(path.name) for path in links if path.readlink() == device]


def test_it_writes_the_number_as_the_kernel_takes_it_and_holds_on(
    tmp_path: Path, device: Path
) -> None:
    with HeldLatency(2_000_000, root=tmp_path):
        assert device.read_bytes() == struct.pack("=i", 2_000_000)
        assert len(descriptors(device)) == 1
    assert descriptors(device) == []


def test_closing_it_twice_does_nothing(tmp_path: Path, device: Path) -> None:
    held = HeldLatency(0, root=tmp_path)
    held.close()
    held.close()
    assert descriptors(device) == []


def test_no_executed_program_inherits_it(tmp_path: Path, device: Path) -> None:
    with HeldLatency(0, root=tmp_path):
        [descriptor] = descriptors(device)
        assert not os.get_inheritable(descriptor)


def test_a_device_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "dev" / "cpu_dma_latency"
    for ask in (require_heeded, lambda root: HeldLatency(0, root=root)):
        with pytest.raises(CpuLatencyRefused) as caught:
            ask(tmp_path)
        assert caught.value.found == f"{missing}: No such file or directory"
        assert "--device" in caught.value.mend
    assert not missing.exists()
    assert in_force_us(tmp_path) is None


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "dev" / "cpu_dma_latency").mkdir(parents=True)
    with pytest.raises(CpuLatencyRefused, match="Is a directory"):
        require_heeded(tmp_path)


@pytest.mark.usefixtures("device")
def test_a_missing_right_is_told_with_the_rule_that_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(cpu_latency.os, "open", refuse)
        with pytest.raises(CpuLatencyRefused, match=r"Permission denied; a udev rule .*operations"):
            HeldLatency(0, root=tmp_path)


def test_a_number_that_is_not_taken_leaves_nothing_open(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "cpu_dma_latency").symlink_to(full)
    with pytest.raises(CpuLatencyRefused, match="No space left"):
        HeldLatency(0, root=tmp_path)
    assert descriptors(full) == []


def test_looking_for_the_device_asks_for_nothing(tmp_path: Path, device: Path) -> None:
    require_heeded(tmp_path)
    assert device.read_bytes() == b""
    assert in_force_us(tmp_path) is None


@pytest.mark.usefixtures("device")
def test_what_is_in_force_is_read_back(tmp_path: Path) -> None:
    with HeldLatency(70, root=tmp_path):
        assert in_force_us(tmp_path) == 70


@pytest.mark.parametrize("text", ["none\n", "\n", ""])
@pytest.mark.parametrize("with_device", [True, False])
def test_without_a_driver_nothing_is_asked_with_or_without_the_device(
    tmp_path: Path, text: str, with_device: bool
) -> None:
    add_driver(tmp_path, text)
    device = add_device(tmp_path) if with_device else None
    for ask in (require_heeded, lambda root: HeldLatency(0, root=root)):
        with pytest.raises(CpuLatencyRefused) as caught:
            ask(tmp_path)
        assert "no cpuidle driver" in caught.value.found
        assert "nap_us" in caught.value.mend
    if device is not None:
        assert device.read_bytes() == b""
        assert descriptors(device) == []


@pytest.mark.parametrize("text", ["intel_idle\n", "haltpoll\n"])
def test_with_a_driver_it_is_asked(tmp_path: Path, device: Path, text: str) -> None:
    add_driver(tmp_path, text)
    require_heeded(tmp_path)
    with HeldLatency(25, root=tmp_path):
        assert device.read_bytes() == struct.pack("=i", 25)


def test_a_kernel_without_cpuidle_is_not_asked(tmp_path: Path, device: Path) -> None:
    (tmp_path / "sys/devices/system/cpu").mkdir(parents=True)
    with pytest.raises(CpuLatencyRefused, match="no cpuidle driver"):
        HeldLatency(0, root=tmp_path)
    assert device.read_bytes() == b""


def test_without_a_right_to_look_it_is_asked(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hardened system closes /sys to ordinary users; the tests may run as root, who sees all."""
    look = os.stat

    def refuse(path: Any, *arguments: Any, **more: Any) -> os.stat_result:
        if (tmp_path / "sys") in Path(path).parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, *arguments, **more)

    monkeypatch.setattr(os, "stat", refuse)
    with HeldLatency(25, root=tmp_path):
        assert device.read_bytes() == struct.pack("=i", 25)


def test_a_kernel_that_tells_of_no_driver_is_asked(tmp_path: Path, device: Path) -> None:
    add_driver(tmp_path, "none\n").unlink()
    with HeldLatency(25, root=tmp_path):
        assert device.read_bytes() == struct.pack("=i", 25)
