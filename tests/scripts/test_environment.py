"""`demo` and `check` on machines that lack something: one sentence with the command that mends it.

Each test has a checkout of its own with a PATH of its own, in which `python3` is a wrapper that
can be told to fail; nothing is downloaded.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
TOOLS = (
    *("bash", "env", "dirname", "id", "cat", "cut", "sha256sum", "find", "sort", "xargs", "mkdir"),
    *("touch", "rm", "ls", "tail", "tr", "cp", "ln", "flock", "sleep", "grep", "chmod"),
)
BASE_PYTHON = Path(getattr(sys, "_base_executable", sys.executable))


class Machine:
    """A checkout and a PATH."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.bin = folder / "bin"
        self.environment: dict[str, str] = {}
        self.bin.mkdir(parents=True)
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, f"this test needs {tool}"
            (self.bin / tool).symlink_to(found)
        self.tool("apt-get", "exit 1")
        self.checkout.mkdir()
        for name in ("demo", "check", "setup.py", "pyproject.toml"):
            shutil.copy(ROOT / name, self.checkout / name)
        shutil.copytree(ROOT / "scripts", self.checkout / "scripts")
        (self.checkout / "ext").mkdir()

    def tool(self, name: str, body: str) -> None:
        """Put a script of that name on the PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def python(self, *, failing_at: str = "", then: str = "exit 1") -> None:
        """Install a python3; a command line with the words `failing_at` does `then` instead."""
        word = failing_at or "nothing-has-these-words"
        self.tool("python3", f'case "$*" in *"{word}"*) {then};; esac\nexec {BASE_PYTHON} "$@"')

    def compiler(self) -> None:
        """Install a compiler that is never called."""
        self.tool("cc", "exit 1")

    def start(self, script: str = "demo", *options: str) -> subprocess.Popen[str]:
        """Start a script in a session of its own."""
        return subprocess.Popen(
            [str(self.bin / "bash"), str(self.checkout / script), *options],
            env={"PATH": str(self.bin), "HOME": str(self.checkout), **self.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    def fails(self, script: str = "demo") -> str:
        """Run a script that must fail with one sentence after its progress; return that."""
        process = self.start(script)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert out == ""
        assert not list((self.checkout / ".venv").glob("stamp-*"))
        *progress, sentence = err.splitlines()
        assert all(line.startswith(f"{script}: ") for line in progress)
        assert sentence.startswith(f"{script}: ")
        return sentence


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("script", ["demo", "check"])
def test_without_python(machine: Machine, script: str) -> None:
    text = machine.fails(script)
    assert "no Python 3.11, 3.12 or 3.13" in text and "apt-get install -y python3.12" in text


def test_with_an_old_python_alone(machine: Machine) -> None:
    machine.python(failing_at="version_info")
    assert "no Python 3.11, 3.12 or 3.13" in machine.fails()


def test_without_a_compiler(machine: Machine) -> None:
    machine.python()
    text = machine.fails()
    assert "no C compiler" in text and "apt-get install -y build-essential" in text


def test_without_headers(machine: Machine) -> None:
    machine.python(failing_at="Python.h")
    machine.compiler()
    text = machine.fails()
    version = "python{}.{}".format(*sys.version_info)
    assert f"apt-get install -y {version}-dev" in text


def test_without_the_venv_module(machine: Machine) -> None:
    machine.python(failing_at="ensurepip")
    machine.compiler()
    text = machine.fails()
    version = "python{}.{}".format(*sys.version_info)
    assert f"apt-get install -y {version}-venv" in text


def test_another_package_manager(machine: Machine) -> None:
    (machine.bin / "apt-get").unlink()
    machine.tool("dnf", "exit 1")
    machine.python()
    assert "dnf install -y gcc" in machine.fails()


def test_without_network(machine: Machine) -> None:
    offline = (
        "mkdir -p .venv/bin; printf '#!/bin/sh\\nexit 1\\n' > .venv/bin/python; "
        "chmod +x .venv/bin/python; exit 0"
    )
    machine.python(failing_at="-m venv", then=offline)
    machine.compiler()
    text = machine.fails()
    assert "network" in text and text.endswith("run: ./demo")
    # What was left half-made is made from scratch the next time.
    (machine.checkout / ".venv" / "half").touch()
    machine.fails()
    assert not (machine.checkout / ".venv" / "half").exists()


def test_a_compiler_may_have_arguments(machine: Machine) -> None:
    machine.python(failing_at="ensurepip")
    machine.tool("fast-cc", "exit 1")
    machine.environment["CC"] = "fast-cc -pipe"
    assert "venv module is missing" in machine.fails()
    machine.environment["CC"] = "slow-cc -pipe"
    assert "no C compiler" in machine.fails()


def test_a_uv_that_fails_is_followed_by_pip(machine: Machine) -> None:
    machine.python(failing_at="-m venv", then="echo no venv today; exit 1")
    machine.compiler()
    machine.tool("uv", "echo uv was asked for $1; exit 2")
    assert "network" in machine.fails()
    log = (machine.checkout / ".venv" / "install.log").read_text()
    assert log == "uv was asked for venv\nno venv today\n"


def test_interrupt_leaves_nothing_that_is_trusted(machine: Machine) -> None:
    # No fork between file and sleep: dash lets a child forget a signal that comes just then.
    machine.python(failing_at="-m venv", then="mkdir -p .venv/bin; : >.venv/began; exec sleep 60")
    machine.compiler()
    process = machine.start()
    began = machine.checkout / ".venv" / "began"
    wait_until(began.exists, timeout_s=30, what="the installation began")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not list((machine.checkout / ".venv").glob("stamp-*"))
    machine.python(failing_at="-m venv", then="exit 1")
    machine.fails()
    assert not began.exists()


def test_programs_anywhere_find_the_package(machine: Machine) -> None:
    machine.python()
    machine.compiler()
    folder = machine.checkout / "site-packages"
    folder.mkdir()
    (machine.bin / "sh").symlink_to("/bin/sh")
    machine.tool("fake-python", f"echo {folder}")
    lines = 'cd "$1"; . scripts/environment.sh; PYTHON=fake-python; link_checkout'
    subprocess.run(
        [str(machine.bin / "bash"), "-euc", lines, "test", str(machine.checkout)],
        env={"PATH": str(machine.bin)}, check=True, timeout=30,
    )  # fmt: skip
    assert (folder / "checkout.pth").read_text() == f"{machine.checkout}\n"


def test_an_environment_of_the_users_own_is_not_deleted(machine: Machine) -> None:
    mine = machine.checkout / ".venv" / "mine"
    mine.parent.mkdir()
    mine.touch()
    machine.python(failing_at="-m venv", then="exit 1")
    machine.compiler()
    for _ in range(2):
        machine.fails()
        assert mine.exists()


def test_wrong_options_are_told_before_anything_is_installed(machine: Machine) -> None:
    machine.python()
    shutil.copytree(ROOT / "pipeline", machine.checkout / "pipeline",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    for options, code, words in (
        (["--seconds", "1"], 78, "--seconds: found 1; expected 10"),
        (["--loud"], 2, "unrecognized arguments: --loud"),
        (["--help"], 0, "--instruments"),
    ):
        process = machine.start("demo", *options)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert words in out + err and "Traceback" not in err
    assert not (machine.checkout / ".venv").exists()


def test_a_start_that_waits_for_another_says_so(machine: Machine) -> None:
    said = "demo: waiting for another ./demo or ./check that builds here\n"
    machine.python()
    (machine.checkout / "build").mkdir()
    with (machine.checkout / "build" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = machine.start()
        assert process.stderr is not None
        assert process.stderr.readline() == said
        assert process.poll() is None
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "no C compiler" in err and said not in err
    assert "waiting" not in machine.fails()


def test_progress_shows_what_a_long_step_is_at(machine: Machine) -> None:
    machine.python()
    lines = r"""cd "$1"; PROGRAM=demo; . scripts/environment.sh
        installing() { printf '  Downloading numpy-2.whl (16 MB)\nnoise\n'; return "$1"; }
        installing 0 2>&1 | progress log
        installing 7 2>&1 | progress log || echo "code $?" """
    found = subprocess.run(
        [str(machine.bin / "bash"), "-euo", "pipefail", "-c", lines, "x", str(machine.checkout)],
        env={"PATH": str(machine.bin)}, check=True, timeout=30, capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout == "code 7\n"
    assert found.stderr == "demo:   Downloading numpy-2.whl (16 MB)\n" * 2
    assert (machine.checkout / "log").read_text().count("noise") == 2


def test_scripts_are_executable_and_parse() -> None:
    for name in ("demo", "check", ".ci/run", "scripts/environment.sh"):
        path = ROOT / name
        assert name.startswith("scripts/") or os.access(path, os.X_OK), name
        subprocess.run(["bash", "-n", str(path)], check=True, timeout=30)
