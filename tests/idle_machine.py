"""A folder that stands for the root of a machine: what tells of idle processors, and is told."""

from __future__ import annotations

from pathlib import Path

DEVICE = "dev/cpu_dma_latency"


def add_device(root: Path) -> Path:
    """Make a file that stands for the device, empty like one that nobody asked anything of."""
    path = root / DEVICE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def add_driver(root: Path, text: str) -> Path:
    """Make the file in which the kernel tells its cpuidle driver, with this text."""
    path = root / "sys/devices/system/cpu/cpuidle/current_driver"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
