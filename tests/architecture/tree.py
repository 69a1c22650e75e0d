"""The source tree as the architecture tests see it: modules, imports, cimports."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

#: From the top down; a module belongs to the longest prefix that fits.
FLOORS = {
    "pipeline.__main__": 7,
    "pipeline.kite": 7,
    "pipeline.cli": 6,
    "pipeline.supervisor": 5,
    "pipeline.services": 4,
    "pipeline.sim": 4,
    "pipeline.feed": 3,
    "pipeline.strategy": 3,
    "pipeline.record": 3,
    "pipeline.rest": 3,
    "pipeline.brokers": 2,
    "pipeline.shm": 2,
    "pipeline.planning": 2,
    "pipeline.instruments": 2,
    "pipeline.core": 1,
    "ext": 0,
}

_CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", re.MULTILINE)


class Import(NamedTuple):
    """`module` imports `target`; `lazy` when only inside a function or for types."""

    module: str
    target: str
    line: int
    lazy: bool


@cache
def tracked() -> tuple[Path, ...]:
    """Return every file of the repository that is there, new ones too."""
    line = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(p for name in result.stdout.splitlines() if (p := ROOT / name).is_file())


def every(paths: Iterable[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Make of a check of one file a test of all of them, which tells every file that fails."""

    chosen = list(paths)

    def make(check: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            wrong = []
            assert chosen, "no file to look at"
            for path in chosen:
                try:
                    check(path)
                except AssertionError as error:
                    wrong.append(f"{path.relative_to(ROOT)}: {error}")
            assert not wrong, "\n".join(wrong)

        test.__doc__ = check.__doc__
        return test

    return make


def below(*folders: str, suffix: str) -> list[Path]:
    """Return the tracked files of some top-level folders with a suffix."""
    return [
        path
        for path in tracked()
        if path.suffix == suffix and path.relative_to(ROOT).parts[0] in folders
    ]


def module_name(path: Path) -> str:
    """Return the dotted name of a source file."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def unit(module: str) -> str | None:
    """Return the entry of FLOORS that a module belongs to; None for the outside world."""
    fits = [name for name in FLOORS if module == name or module.startswith(f"{name}.")]
    return max(fits, key=len, default=None)


@cache
def parsed(path: Path) -> ast.Module:
    """Return the tree of a Python file."""
    return ast.parse(path.read_text(), str(path))


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Return every import of a Python file."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[Import]:
    tree = parsed(path)
    module = module_name(path)
    top = set(tree.body)
    for node in ast.walk(tree):
        lazy = node not in top
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                # `from package import module` names a module, if there is one of that name.
                inner = f"{node.module}.{alias.name}"
                source = ROOT / inner.replace(".", "/")
                is_module = source.is_dir() or source.with_suffix(".py").exists()
                target = inner if is_module else node.module or ""
                yield Import(module, target, node.lineno, lazy)


def cimports(path: Path) -> Iterator[Import]:
    """Yield every import and cimport of a Cython file."""
    text = path.read_text()
    for match in _CIMPORT.finditer(text):
        line = text[: match.start()].count("\n") + 1
        yield Import(module_name(path), match[1] or match[2], line, False)
