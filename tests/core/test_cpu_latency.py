"""The request for processors that wake quickly, on files that stand for the device."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import cpu_latency
from pipeline.core.cpu_latency import HeldLatency, in_force_us, require_device
from pipeline.core.errors import CpuLatencyRefused


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "cpu_dma_latency"
    path.touch()
    return path


def descriptors(device: Path) -> list[int]:
    """Return our open descriptors of it."""
    links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return [int(path.name) for path in links if path.readlink() == device]


def test_it_writes_the_number_as_the_kernel_takes_it_and_holds_on(device: Path) -> None:
    with HeldLatency(2_000_000, device=device):
        assert device.read_bytes() == struct.pack("=i", 2_000_000)
        assert len(descriptors(device)) == 1
    assert descriptors(device) == []


def test_closing_it_twice_does_nothing(device: Path) -> None:
    held = HeldLatency(0, device=device)
    held.close()
    held.close()
    assert descriptors(device) == []


def test_no_executed_program_inherits_it(device: Path) -> None:
    with HeldLatency(0, device=device):
        [descriptor] = descriptors(device)
        assert not os.get_inheritable(descriptor)


def test_a_device_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "cpu_dma_latency"
    for ask in (require_device, lambda path: HeldLatency(0, device=path)):
        with pytest.raises(CpuLatencyRefused) as caught:
            ask(missing)
        assert caught.value.found == f"{missing}: No such file or directory"
        assert "--device" in caught.value.mend
    assert not missing.exists()
    assert in_force_us(missing) is None


def test_a_directory_in_its_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(CpuLatencyRefused, match="Is a directory"):
        require_device(tmp_path)


def test_a_missing_right_is_told_with_the_rule_that_gives_it(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(cpu_latency.os, "open", refuse)
        with pytest.raises(CpuLatencyRefused, match=r"Permission denied; a udev rule .*operations"):
            HeldLatency(0, device=device)


def test_a_number_that_is_not_taken_leaves_nothing_open() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(CpuLatencyRefused, match="No space left"):
        HeldLatency(0, device=full)
    assert descriptors(full) == []


def test_looking_for_the_device_asks_for_nothing(device: Path) -> None:
    require_device(device)
    assert device.read_bytes() == b""
    assert in_force_us(device) is None


def test_what_is_in_force_is_read_back(device: Path) -> None:
    with HeldLatency(70, device=device):
        assert in_force_us(device) == 70
