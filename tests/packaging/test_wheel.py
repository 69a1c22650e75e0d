"""What a wheel holds, and that an installed one works from anywhere, on every Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.core.version import VERSION
from tests.architecture.tree import below, tracked
from tests.conftest import ROOT

VERSIONS = ("3.11", "3.12", "3.13")
DATA = {".pxd", ".pyi", ".h"}
PAGE = {".html", ".js", ".css", ".svg", ".txt"}


def expected_files() -> set[str]:
    """Return what belongs into a wheel besides the compiled modules."""
    found = [*below("pipeline", suffix=".py"), *below("ext", suffix=".py")]
    found += [path for path in tracked() if path.parent == ROOT / "ext" and path.suffix in DATA]
    found += [ROOT / "tickrail.py", ROOT / "pipeline" / "py.typed"]
    for suffix in (".toml", *PAGE):
        found += below("pipeline", suffix=suffix)
    return {str(path.relative_to(ROOT)) for path in found}


def modules() -> set[str]:
    """Return the names of the compiled modules."""
    return {f"ext/{path.stem}" for path in below("ext", suffix=".pyx")}


def run(*line: str | Path, cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in line], cwd=cwd, capture_output=True, text=True, check=False,
        timeout=timeout_s, stdin=subprocess.DEVNULL, env=clean,
    )  # fmt: skip


def good(*line: str | Path, cwd: Path, timeout_s: float = 120) -> str:
    done = run(*line, cwd=cwd, timeout_s=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_wheel_holds_what_is_needed_and_nothing_else(tmp_path: Path) -> None:
    """By what setuptools would copy; the full test looks into a real one."""
    good(sys.executable, "setup.py", "-q", "build_py", "--build-lib", tmp_path, cwd=ROOT)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == expected_files()


def copy_of_sources(folder: Path) -> Path:
    """Copy what the repository holds, so that nothing built or left over is found."""
    for path in tracked():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution."""
    folder = copy_of_sources(tmp_path_factory.mktemp("source"))
    good(sys.executable, "setup.py", "-q", "sdist", "--dist-dir", folder / "dist", cwd=folder)
    [found] = (folder / "dist").glob("tickrail-*.tar.gz")
    return found


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", VERSIONS)
def test_an_installed_wheel_works_from_another_folder(
    version: str, sdist: Path, tmp_path: Path
) -> None:
    """sdist -> wheel -> a fresh environment with nothing of the checkout in reach."""
    python = interpreter(version)
    venv = tmp_path / "venv"
    good(python, "-m", "venv", venv, cwd=tmp_path)
    ours = venv / "bin" / "python"
    install(ours, "setuptools>=77", "cython>=3.1,<4", "numpy>=2.1", cwd=tmp_path)
    good(
        *(ours, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", tmp_path, sdist), cwd=tmp_path, timeout_s=600,
    )  # fmt: skip
    [wheel] = tmp_path.glob("tickrail-*.whl")
    look_inside(wheel, version)
    install(ours, f"{wheel}[sim]", cwd=tmp_path)
    use(venv / "bin", tmp_path)


def interpreter(version: str) -> str:
    """Return a Python of that version; skip the test where there is none."""
    if version == "{}.{}".format(*sys.version_info):
        return getattr(sys, "_base_executable", sys.executable)
    candidates = [shutil.which(f"python{version}")]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += map(str, sorted(versions.glob(f"{version}.*/bin/python"), reverse=True))
    for found in candidates:
        if found and run(found, "-c", "import ensurepip, venv", cwd=Path()).returncode == 0:
            return found
    pytest.skip(f"no Python {version} is on this machine; install it to test its wheel")


def install(python: Path, *what: str, cwd: Path) -> None:
    """Install packages; skip the test where they cannot be had."""
    done = run(python, "-m", "pip", "install", "-q", *what, cwd=cwd, timeout_s=600)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip(f"the packages of a fresh environment cannot be installed: {done.stderr}")
    assert done.returncode == 0, done.stderr


def look_inside(wheel: Path, version: str) -> None:
    tag = version.replace(".", "")
    assert f"-cp{tag}-cp{tag}-" in wheel.name
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    compiled = {name for name in found if name.endswith(".so")}
    assert {name.partition(".")[0] for name in compiled} == modules()
    assert found - compiled == expected_files()


def use(folder: Path, cwd: Path) -> None:
    """Run what users run, with nothing of the checkout on the path."""
    python = folder / "python"
    where = "import pipeline, ext, tickrail; print(pipeline.__file__, ext.__file__)"
    assert all(str(folder.parent) in path for path in good(python, "-c", where, cwd=cwd).split())
    assert "[instance]" in good(python, "-m", "pipeline", "config", "reference", cwd=cwd)
    assert "Usage" in good(folder / "tickrail", "--help", cwd=cwd)
    version = good(python, "-c", "import tickrail; print(tickrail.__version__)", cwd=cwd).strip()
    assert version == VERSION and version in good(folder / "tickrail", "--version", cwd=cwd)
    config = cwd / "sim.toml"
    name = f"wheel-{os.getpid()}"
    text = (ROOT / "examples" / "config" / "sim.toml").read_text()
    config.write_text(text.replace('name = "demo"', f'name = "{name}"'))
    line = (python, "-m", "pipeline", "run", "--config", config, "--seconds", "3")
    done = run(*line, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "all 3 connections are live" in done.stderr


def test_the_typed_marker_and_the_stubs_are_for_every_module() -> None:
    files = expected_files()
    assert "pipeline/py.typed" in files
    assert {f"{name}.pyi" for name in modules()} <= files
