"""What `doctor` says of idle processors."""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.doctor.finding import Finding, Level, Machine
from pipeline.cli.doctor.idle import check
from pipeline.core.config import parse
from tests.services.control.world import LIMITS

TEXT = '[[account]]\nname = "a"\napi_key = "demo"\nurl = "simulator"\n[simulator]\n[pool]\n'


def only(root: Path, more: str = "") -> Finding:
    [found] = check(Machine(root), parse(TEXT + more, limits=LIMITS))
    return found


def with_device(root: Path) -> Path:
    (root / "dev").mkdir()
    (root / "dev" / "cpu_dma_latency").touch()
    return root


def test_unasked_it_says_that_there_is_such_a_thing(tmp_path: Path) -> None:
    found = only(tmp_path)
    assert (found.level, found.mend) == (Level.OK, "")
    assert "not to be had here" in found.text
    assert "tuning.md" in only(with_device(tmp_path)).text


def test_what_is_asked_for_and_can_be_had(tmp_path: Path) -> None:
    root = with_device(tmp_path)
    found = only(root, "[instance]\ncpu_dma_latency_us = 0\n")
    assert (found.level, found.mend) == (Level.OK, "")
    assert "within 0 us" in found.text
    assert (root / "dev" / "cpu_dma_latency").read_bytes() == b""


def test_what_is_asked_for_and_cannot_be_had(tmp_path: Path) -> None:
    found = only(tmp_path, "[instance]\ncpu_dma_latency_us = 0\n")
    assert found.level is Level.WARN
    assert "cpu_dma_latency_us = 0 will have no effect" in found.text
    assert "dev/cpu_dma_latency: No such file" in found.text
    assert found.mend.endswith("or remove the setting")
