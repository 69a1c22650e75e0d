"""A headless Chromium, told what to do: playwright-core in a node process of ours."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from tests.conftest import ROOT

FOLDER: Final = Path(__file__).parent
CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
INSTALL_S: Final = 60
AGAIN_S: Final = 600


class NoBrowser(Exception):
    """What is missing, and what to do about it."""


class Browser:
    """One browser with one page at a time; raises AssertionError when something does not work."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [_find("node"), FOLDER / "driver.mjs", _install(), _find(*CHROMIUMS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        try:
            assert self._answer().get("ready"), "the browser does not start"
        except BaseException:
            self.close()
            raise

    def do(self, verb: str, **rest: Any) -> Any:
        """Do one thing; return what came of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"verb": verb, **rest}) + "\n")
        found = self._answer()
        assert "error" not in found, f"{verb} {rest}: {found['error']}"
        return found["value"]

    def open(
        self, url: str, *, width: int = 1280, height: int = 900, theme: str = "light",
        cookie: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Open a page in a context of its own."""
        self.do("open", url=url, width=width, height=height, theme=theme, cookie=cookie)

    def run(self, code: str) -> Any:
        """Return an expression's value in the page."""
        return self.do("run", code=code)

    def until(self, code: str) -> None:
        """Wait until an expression holds in the page."""
        self.do("until", code=code)

    def text(self, selector: str) -> str:
        """Return what an element shows."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the page's console since it was opened, or forgiven."""
        found: list[str] = self.do("complaints")
        return found

    def close(self) -> None:
        """End the browser."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the browser's driver has ended"
        found: dict[str, Any] = json.loads(line)
        return found


def _find(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise NoBrowser(f"the page needs {names[0]} to be tested (apt-get install {names[0]})")
    return found


def _install() -> str:
    """Return playwright's folder; one process at a time gets it, the others find it there.

    Where it cannot be had, nobody tries again for a while: no package index may mean a long wait.
    """
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    failed = folder / "browser.failed"
    with (folder / "browser.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if failed.exists() and time.time() - failed.stat().st_mtime < AGAIN_S:
            raise NoBrowser(failed.read_text())
        told, problem = _run_installer()
        if problem:
            failed.write_text(f"the page needs playwright-core to be tested: {problem}")
            raise NoBrowser(failed.read_text())
        failed.unlink(missing_ok=True)
    return told.strip().splitlines()[-1]


def _run_installer() -> tuple[str, str]:
    """Return what the installer printed, and what is wrong, if anything."""
    installer = subprocess.Popen(
        [FOLDER / "install.sh"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        told, complaint = installer.communicate(timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        os.killpg(installer.pid, signal.SIGKILL)
        installer.communicate()
        return "", f"npm got nothing in {INSTALL_S} s"
    return told, " ".join(complaint.split())[:200] or "npm failed" if installer.returncode else ""
