"""What no file may hold: long lines, leftovers, this machine's paths, secrets."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.architecture.tree import ROOT, below, every, tracked

TEXT = {".py", ".pyx", ".pxd", ".pyi", ".h", ".c", ".toml", ".md", ".sh", ".txt", ".cfg", ""}
SOURCE = [*below("pipeline", "ext", "tests", "benchmarks", "examples", suffix=".py")]
SOURCE += [*below("ext", suffix=".pyx"), *below("ext", suffix=".pxd"), *below("ext", suffix=".h")]
GENERATED = {"ext/layout_fields.h"}
LINE_LENGTH_MAX = 140  # of C and Cython; ruff holds Python to 100
FUNCTION_LINES_MAX = 80

LEFTOVERS = re.compile(
    r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError|breakpoint\(\)|^<{7} |^>{7} "
)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:home|root|Users|work|opt|mnt)/[\w.-]+")
SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(?:ghp|gho|glpat|xox[bp])[_-][A-Za-z0-9]{16,}|\bAKIA[0-9A-Z]{16}\b"
)
THIS_FILE = Path(__file__)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _texts() -> list[Path]:
    return [path for path in tracked() if path.suffix in TEXT and path != THIS_FILE]


@every(SOURCE)
def test_lines_are_short(path: Path) -> None:
    if _name(path) in GENERATED:
        return
    long = [
        number
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > LINE_LENGTH_MAX
    ]
    assert long == []


@every(_texts())
def test_nothing_is_left_over(path: Path) -> None:
    text = path.read_text()
    for pattern in (LEFTOVERS, MACHINE_PATHS, SECRETS):
        found = [match[0] for match in pattern.finditer(text)]
        assert found == [], f"{pattern.pattern[:30]}..."
    assert "\r" not in text.replace("\\r", "")
    assert text == "" or text.endswith("\n")


@every(below("pipeline", "ext", suffix=".py"))
def test_functions_are_short_and_modules_say_what_they_are(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no module docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            assert size <= FUNCTION_LINES_MAX, f"{node.name}: {size} lines"


@every(below("pipeline", "ext", suffix=".py"))
def test_no_handler_catches_everything(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            names = (
                {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
                if node.type
                else {""}
            )
            reraises = any(isinstance(n, ast.Raise) and n.exc is None for n in ast.walk(node))
            broad = names & {"", "Exception", "BaseException"}
            assert not broad or reraises, f"line {node.lineno}"


@every(below("pipeline", suffix=".py"))
def test_public_names_have_docstrings(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"line {node.lineno}: {node.name}"
