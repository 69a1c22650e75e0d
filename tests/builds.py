"""Other builds of the compiled floor, made when a test first needs one.

`build/checked` and `build/sanitize` hold a compiled `ext` of that profile beside links to
`pipeline` and `tests`, so that a process started with that directory in front of its path runs
the whole project on it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build_root(profile: str) -> Path:
    """Build `profile` (checked or sanitize) if its sources changed; return its directory."""
    root = ROOT / "build" / profile
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(root):
            _build(profile, root)
    return root


def environment(root: Path) -> dict[str, str]:
    """Return an environment in which `python -m pipeline` runs on that build."""
    return {**os.environ, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}


def _sources() -> list[Path]:
    found = [p for p in (ROOT / "ext").rglob("*") if p.suffix in {".pyx", ".pxd", ".h", ".py"}]
    return [*found, ROOT / "setup.py"]


def _stamp(root: Path) -> Path:
    return root / f".stamp-{sys.implementation.cache_tag}"  # another Python needs its own modules


def _is_current(root: Path) -> bool:
    stamp = _stamp(root)
    if not stamp.exists():
        return False
    return stamp.stat().st_mtime > max(p.stat().st_mtime for p in _sources())


def _build(profile: str, root: Path) -> None:
    temporary = ROOT / "build" / f"temp-{profile}"
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(root),
         "--build-temp", str(temporary)],
        cwd=ROOT, env={**os.environ, "PIPELINE_BUILD": profile}, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=900,
    )  # fmt: skip
    for source in (ROOT / "ext").rglob("*.py"):
        target = root / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for name in ("pipeline", "tests"):
        link = root / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    _stamp(root).touch()
