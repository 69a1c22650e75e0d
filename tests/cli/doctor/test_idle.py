"""What `doctor` says of idle processors."""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.doctor.finding import Finding, Level, Machine
from pipeline.cli.doctor.idle import check
from pipeline.core.config import parse
from tests.idle_machine import add_device, add_driver
from tests.services.control.world import LIMITS

ASKED = "[instance]\ncpu_dma_latency_us = 0\n"
TEXT = '[[account]]\nname = "a"\napi_key = "demo"\nurl = "simulator"\n[simulator]\n[pool]\n'


def only(root: Path, more: str = "") -> Finding:
    [found] = check(Machine(root), parse(TEXT + more, limits=LIMITS))
    return found


def test_unasked_it_says_whether_there_is_such_a_thing(tmp_path: Path) -> None:
    found = only(tmp_path)
    assert (found.level, found.mend) == (Level.OK, "")
    assert "cpu_dma_latency_us = 0 would have no effect: " in found.text
    assert "dev/cpu_dma_latency: No such file" in found.text
    add_device(tmp_path)
    found = only(tmp_path)
    assert (found.level, found.mend) == (Level.OK, "")
    assert "would keep them awake: tuning.md" in found.text


def test_what_is_asked_for_and_can_be_had(tmp_path: Path) -> None:
    device = add_device(tmp_path)
    add_driver(tmp_path, "intel_idle\n")
    found = only(tmp_path, ASKED)
    assert (found.level, found.mend) == (Level.OK, "")
    assert "within 0 us" in found.text
    assert device.read_bytes() == b""


def test_what_is_asked_for_and_cannot_be_had(tmp_path: Path) -> None:
    found = only(tmp_path, ASKED)
    assert found.level is Level.WARN
    assert "cpu_dma_latency_us = 0 will have no effect" in found.text
    assert "dev/cpu_dma_latency: No such file" in found.text
    assert found.mend.endswith("or remove the setting")


def test_without_a_driver_nothing_is_promised(tmp_path: Path) -> None:
    add_device(tmp_path)
    add_driver(tmp_path, "none\n")
    found = only(tmp_path)
    assert (found.level, found.mend) == (Level.OK, "")
    assert "would have no effect: Linux has no cpuidle driver here" in found.text
    found = only(tmp_path, ASKED)
    assert found.level is Level.WARN
    assert "= 0 will have no effect: Linux has no cpuidle driver here" in found.text
    assert found.mend.startswith("remove the setting: naps help here")
