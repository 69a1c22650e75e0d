"""Deaths that are asked for: one line for each process, until none is left."""

from __future__ import annotations

from pathlib import Path

from pipeline.feed.crash_request import arm_requested_crash


def test_each_process_takes_a_line(tmp_path: Path) -> None:
    armed: list[tuple[str, int, int]] = []

    def arm(point: str, passage: int, signal_number: int) -> bool:
        armed.append((point, passage, signal_number))
        return True

    request = tmp_path / "crash"
    request.write_text("commit_after_flip 3\nforward_after_tails 1 11\n")
    for _ in range(3):
        arm_requested_crash(request, arm)
    assert armed == [("commit_after_flip", 3, 9), ("forward_after_tails", 1, 11)]
    assert list(tmp_path.iterdir()) == []
