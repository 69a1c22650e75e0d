"""The test suite's own rules: which skips are allowed, and that the epilogue finds leftovers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import ALLOWED_SKIPS, ROOT, leftovers, unexpected_skips


def _report(reason: str) -> pytest.TestReport:
    where = ("tests/x.py", 1, f"Skipped: {reason}")
    return pytest.TestReport("tests/x.py::t", ("", 0, ""), {}, "skipped", where, "call")


def test_only_listed_skips_are_allowed() -> None:
    listed = next(
        line for line in ALLOWED_SKIPS.read_text().splitlines() if line and line[0] != "#"
    )
    assert unexpected_skips([_report(f"because {listed} it is")]) == []
    [found] = unexpected_skips([_report("no time")])
    assert "no time" in found


def test_leftovers_are_files_not_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert leftovers(tmp_path) == []
    (tmp_path / "a" / "b" / "c").touch()
    assert leftovers(tmp_path) == ["a/b/c"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("CHILDREN.append(subprocess.Popen(['sleep', '30']))", "processes were left behind"),
        ("KEPT.append(open(__file__))", "descriptors were left open"),
        ("pass", ""),
    ],
)
def test_epilogue_finds_what_is_left(tmp_path: Path, body: str, told: str) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(
        textwrap.dedent(f"""
        import atexit
        import subprocess
        import pytest
        import tests.conftest
        from tests.conftest import clean_slate
        tests.conftest.SETTLE_S = 0.1
        KEPT = []
        CHILDREN = []
        @atexit.register
        def end():
            for child in CHILDREN:
                child.kill()
                child.wait()
        @pytest.mark.usefixtures("clean_slate")
        def test_it():
            {body}
        """)
    )
    line = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
    ]
    result = subprocess.run(
        [*line, str(test)], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == (1 if told else 0), result.stdout
    assert told in result.stdout
