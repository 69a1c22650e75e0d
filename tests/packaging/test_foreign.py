"""A foreign `pipeline` or `ext` in the way, or nothing compiled: one paragraph each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def run(
    code: str, *, cwd: Path, paths: list[Path], site: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program with these folders first on its path, as a user's shell would.

    Without `site` nothing that is installed is found: in `.venv` that includes the checkout.
    """
    path = os.pathsep.join(map(str, paths))
    return subprocess.run(
        [sys.executable, *([] if site else ["-S"]), "-c", code], cwd=cwd, capture_output=True,
        text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1, result
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("body", ["", "__all__ = ['Pipeline']"])
def test_a_foreign_pipeline_beside_the_program(tmp_path: Path, body: str) -> None:
    (tmp_path / "pipeline.py").write_text(body)
    text = last_line(run("import tickrail; tickrail.attach('x')", cwd=tmp_path, paths=[ROOT]))
    assert text.startswith("ImportError: the package `pipeline` that this Python finds is not")
    assert str(tmp_path / "pipeline.py") in text and "pip uninstall pipeline" in text


def test_the_program_tickrail_says_so_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").touch()
    result = run("import tickrail; tickrail.main()", cwd=tmp_path, paths=[ROOT])
    assert result.returncode == 1
    assert result.stderr.startswith("the package `pipeline` that this Python finds is not")
    assert result.stderr.count("\n") == 1


def test_a_pipeline_that_was_overwritten_or_removed(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tickrail.py", tmp_path)
    code = "import tickrail; tickrail.attach"
    text = last_line(run(code, cwd=tmp_path, paths=[], site=False))
    assert "is missing from" in text and "pip install --force-reinstall" in text
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("def run(): pass\n")
    assert "another distribution has overwritten it" in last_line(run(code, cwd=tmp_path, paths=[]))


def test_tickrail_is_pipeline_when_nothing_is_in_the_way(tmp_path: Path) -> None:
    code = "import pipeline, tickrail; assert tickrail.attach is pipeline.attach"
    assert run(code, cwd=tmp_path, paths=[ROOT]).returncode == 0


@pytest.mark.parametrize("what", ["ext.py", "ext/__init__.py"])
def test_a_foreign_ext_beside_the_program(tmp_path: Path, what: str) -> None:
    (tmp_path / what).parent.mkdir(exist_ok=True)
    (tmp_path / what).touch()
    for code in ("import pipeline; pipeline.tick_dtype", "from pipeline.kite import KiteTicker"):
        text = last_line(run(code, cwd=tmp_path, paths=[ROOT]))
        assert text.startswith("ImportError: the package `ext` that this Python finds is not tick")
        assert str(ROOT / "ext") in text
    code = "import sys; from pipeline.cli.main import run; sys.exit(run(['config', 'reference']))"
    result = run(code, cwd=tmp_path, paths=[ROOT])
    assert result.returncode == 1
    assert result.stderr.startswith("the package `ext` that this Python finds")
    assert result.stderr.count("\n") == 1


def test_an_unbuilt_checkout_ends_in_its_paragraph(tmp_path: Path) -> None:
    for name in ("pipeline", "ext"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "tickrail.py", tmp_path)
    for code in ("import pipeline; pipeline.attach", "import tickrail; tickrail.tick_dtype"):
        text = last_line(run(code, cwd=tmp_path, paths=[]))
        assert text.startswith("ImportError: the compiled modules of this checkout are missing")
        assert "./demo" in text and "build_ext --inplace" in text


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose modules are those of the one that is tested; files are links."""
    for name in ("pipeline", "tickrail.py", "setup.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "ext").mkdir()
    for path in (ROOT / "ext").iterdir():
        if path.is_file():
            (tmp_path / "ext" / path.name).symlink_to(path)
    return tmp_path


def edit(path: Path, text: str) -> None:
    """Replace the link by a file that has a line more."""
    before = path.read_text()
    path.unlink()
    path.write_text(before + text)


@pytest.mark.parametrize("source", ["layout.h", "rings.pyx"])
def test_modules_older_than_their_sources_end_in_a_sentence(checkout: Path, source: str) -> None:
    code = "import pipeline; pipeline.attach('none')"
    assert "no instance 'none' runs" in last_line(run(code, cwd=checkout, paths=[]))
    edit(checkout / "ext" / source, "\n")
    told = f"the compiled modules in {checkout / 'ext'} are older than the sources there: build"
    found = run(code, cwd=checkout, paths=[])
    assert last_line(found).startswith(f"pipeline.core.errors.NotBuilt: {told}")
    assert "./demo" in found.stderr and "setup.py build_ext --force --inplace" in found.stderr
    for command in ("stat", "run", "sim", "top"):
        program = f"import sys; from pipeline.cli.main import run; sys.exit(run(['{command}']))"
        found = run(program, cwd=checkout, paths=[])
        assert (found.returncode, found.stderr.count("\n")) == (1, 1), found.stderr
        assert found.stderr.startswith(told)
    doctor = "import sys; from pipeline.cli.main import run; sys.exit(run(['doctor']))"
    assert told in run(doctor, cwd=checkout, paths=[]).stdout


@pytest.mark.parametrize(
    "lost", ["del ext.streams.copy_latest", "sys.modules['ext.streams'] = None"]
)
def test_modules_that_lack_a_name_end_in_a_sentence(checkout: Path, lost: str) -> None:
    code = f"import sys, ext.streams, pipeline; {lost}; pipeline.attach"
    text = last_line(run(code, cwd=checkout, paths=[]))
    assert text.startswith(f"ImportError: the compiled modules in {checkout / 'ext'} lack what")
    assert "copy_latest" in text or "ext.streams" in text
    assert "./demo" in text and text.count(". ") == 0


def test_without_sources_nothing_is_compared(checkout: Path) -> None:
    edit(checkout / "ext" / "layout.h", "\n")
    for source in (checkout / "ext").glob("*.pyx"):
        source.unlink()
    assert run("import pipeline; pipeline.attach", cwd=checkout, paths=[]).returncode == 0
