"""Imports go down only, and only the supervisor starts processes."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.tree import (
    FLOORS,
    ROOT,
    below,
    cimports,
    every,
    imports,
    module_name,
    parsed,
    unit,
)  # fmt: skip

PYTHON = below("pipeline", "ext", suffix=".py")
CYTHON = [*below("ext", suffix=".pyx"), *below("ext", suffix=".pxd")]

#: The front door sits above everything and imports lazily.
FRONT_DOOR = "pipeline"

STARTS_PROCESSES = {"multiprocessing", "subprocess", "concurrent.futures", "pty"}
STARTING_CALLS = {
    "fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "popen",
    *(f"exec{s}" for s in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *(f"spawn{s}" for s in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
}  # fmt: skip
MAY_START = ("pipeline.supervisor",)

#: What a protocol module without I/O may not touch.
INPUT_OUTPUT = {
    "socket", "ssl", "time", "select", "selectors", "asyncio", "threading", "multiprocessing",
    "subprocess", "logging", "websocket", "websockets", "urllib.request", "http.client", "random",
    "mmap", "os", "io", "pathlib",
}  # fmt: skip
SANS_IO = ("pipeline.brokers", "pipeline.planning")


@every(PYTHON)
def test_imports_go_down(path: Path) -> None:
    wrong = []
    for found in imports(path):
        own, other = unit(found.module), unit(found.target)
        if own is None:
            assert found.module == FRONT_DOOR, f"{found.module} is on no floor"
            if other is not None and not found.lazy:
                wrong.append(f"line {found.line}: the front door imports {found.target} eagerly")
            continue
        if found.target == FRONT_DOOR or found.target.startswith(f"{FRONT_DOOR}."):
            assert other is not None, f"{found.target} is on no floor"
        if other is None or other == own:
            continue
        if FLOORS[other] >= FLOORS[own]:
            wrong.append(f"line {found.line}: {own} imports {found.target}")
    assert wrong == []


@every(CYTHON)
def test_compiled_floor_imports_nothing_of_pipeline(path: Path) -> None:
    found = [i for i in cimports(path) if i.target.split(".")[0] == "pipeline"]
    assert found == []


@every(CYTHON)
def test_compiled_floor_has_no_include_def_or_star(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        assert words[:1] not in (["include"], ["DEF"]), f"{number}: {line}"
        assert not (words and "cimport" in words and words[-1] == "*"), f"{number}: {line}"


@every(PYTHON)
def test_imports_are_absolute(path: Path) -> None:
    nodes = ast.walk(parsed(path))
    assert not [n.lineno for n in nodes if isinstance(n, ast.ImportFrom) and n.level]


def test_one_broker_never_imports_another() -> None:
    folder = ROOT / "pipeline" / "brokers"
    brokers = {p.name for p in folder.iterdir() if p.is_dir() and (p / "wire.py").exists()}
    assert brokers
    for path in PYTHON:
        own = module_name(path).split(".")[:3]
        if own[:2] == ["pipeline", "brokers"] and own[2:] and own[2] in brokers:
            for found in imports(path):
                target = found.target.split(".")[:3]
                foreign = target[:2] == own[:2] and target[2:] and target[2] in brokers
                assert not (foreign and target != own), found


@every(PYTHON)
def test_only_the_supervisor_starts_processes(path: Path) -> None:
    module = module_name(path)
    if module.startswith(MAY_START):
        return
    for found in imports(path):
        assert found.target not in STARTS_PROCESSES, f"line {found.line}: {found.target}"
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called = node.value.id == "os" and node.attr in STARTING_CALLS
            assert not called, f"line {node.lineno}: os.{node.attr}"


@every(p for p in PYTHON if module_name(p).startswith(SANS_IO))
def test_protocols_and_decisions_do_no_input_or_output(path: Path) -> None:
    wrong = [i for i in imports(path) if i.target in INPUT_OUTPUT]
    assert wrong == []


def test_modules_have_no_cycles() -> None:
    """Imports that run when a module is loaded form no cycle; packages' own front doors may."""
    graph: dict[str, set[str]] = {}
    modules = {module_name(path) for path in PYTHON}
    for path in PYTHON:
        edges = graph.setdefault(module_name(path), set())
        edges |= {i.target for i in imports(path) if not i.lazy and i.target in modules}
    done: set[str] = set()
    way: list[str] = []

    def visit(module: str) -> None:
        assert module not in way, " -> ".join([*way, module])
        if module in done:
            return
        way.append(module)
        for target in sorted(graph[module]):
            visit(target)
        way.pop()
        done.add(module)

    for module in sorted(graph):
        visit(module)
