"""The test suite's own rules: which skips are allowed, and that the epilogue finds leftovers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import (
    ROOT,
    allowed_skips,
    leftovers,
    promises_not_shown,
    unexpected_skips,
)


def _report(reason: str) -> pytest.TestReport:
    where = ("tests/x.py", 1, f"Skipped: {reason}")
    return pytest.TestReport("tests/x.py::t", ("", 0, ""), {}, "skipped", where, "call")


def test_only_listed_skips_are_allowed() -> None:
    for listed in allowed_skips():
        assert unexpected_skips([_report(f"because {listed} it is")]) == []
    [found] = unexpected_skips([_report("no time")])
    assert "no time" in found


def test_a_promise_that_is_not_shown_is_named_once() -> None:
    promise = allowed_skips()["install it to fuzz"]
    clang = "no clang: install it to fuzz (apt-get install clang)"
    library = "this clang has no libFuzzer (apt-get install libclang-rt-dev)"
    reports = [_report(clang), _report(clang), _report(library)]
    assert promises_not_shown(reports) == [f"{promise} ({clang}; {library})"]


def test_a_reason_of_many_lines_becomes_one_short_line() -> None:
    reason = "the testsuite cannot be installed: no\n  python2.7\n" + "x" * 1000
    (line,) = promises_not_shown([_report(reason)])
    assert "installed: no python2.7 xxx" in line
    assert "\n" not in line and len(line) < 250


def test_a_skip_that_another_test_makes_good_leaves_nothing_unshown() -> None:
    assert promises_not_shown([_report("AUTOBAHN_WSTEST names no wstest executable")]) == []


@pytest.mark.parametrize("full", [True, False])
def test_what_is_not_shown_stands_behind_the_last_line(*, full: bool) -> None:
    test = ROOT / "tests" / "brokers" / "test_kite_mocks.py"
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-skips"]
    environment = {name: value for name, value in os.environ.items() if name != "KITE_MOCKS"}
    result = subprocess.run(
        [*line, *(["--full"] if full else []), str(test)], capture_output=True, text=True,
        timeout=60, check=False, env=environment, cwd=ROOT,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    last = result.stdout.splitlines()[-2:]
    told = "not shown on this machine: the broker's official packets decode to their JSON"
    assert last[-1].startswith(told) is full
    assert " skipped in " in last[-2 if full else -1]


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
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == (1 if told else 0), result.stdout
    assert told in result.stdout
