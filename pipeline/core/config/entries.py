"""What can be told of a strategy's class without running any of it. Floor 1; reads source only.

The module is found as its own process will find it, parsed, and never imported: code of a user
runs in the process of its strategy alone. What cannot be seen in the source (a class that is
imported, inherits, is decorated, or handed to something) passes here and is looked at again when
the process starts.
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.core.config.arguments import check_arguments
from pipeline.core.config.fields import shorten
from pipeline.core.config.roles import StrategyConfig
from pipeline.core.errors import Problem

#: What is called on a strategy, and with how many arguments.
CALLBACKS: Final = {"on_start": 1, "on_ticks": 1, "on_event": 1, "on_stop": 0}
#: Who uses one of these may define anything.
_MAKERS: Final = frozenset({"exec", "eval", "globals", "locals", "vars", "setattr"})
_NEAR: Final = 0.8
_ALLOWED: Final = (
    "a class with any of on_start(market), on_ticks(ticks), on_event(event), on_stop()"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def search_path(folder: Path) -> list[str]:
    """Return where a strategy's module is looked for: the config's folder, then as we do."""
    return [str(folder), *(entry for entry in sys.path if entry)]


def check_entry(strategy: StrategyConfig, path: str, folder: Path) -> Iterator[Problem]:
    """Yield what is wrong with `entry` and `params`, as far as the source tells."""
    module, _, name = strategy.entry.partition(":")
    here = f"{path}.entry"
    spec = _find(module, search_path(folder))
    if spec is None or spec.origin is None:
        found = f"no module {module} in {folder} or installed"
        yield Problem(here, found, '"module:Class"', _near_file(module, folder))
        return
    source = Path(spec.origin)
    if source.suffix != ".py" or not source.exists():
        return  # compiled, or in an archive: only importing it tells more
    try:
        tree = ast.parse(source.read_bytes(), filename=spec.origin)
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError) as error:
        yield Problem(here, _unreadable(source, error), "a module that Python can read")
        return
    names = _Names.of(tree.body)
    defined = names.found.get(name)
    if isinstance(defined, ast.ClassDef):
        yield from _check_class(defined, strategy, path, is_whole=name not in names.used)
    elif isinstance(defined, Function):
        yield Problem(here, f"{name} of {source.name} is a function", _ALLOWED)
    elif name not in names.found and not names.open:
        hint = _near(name, [n for n, node in names.found.items() if isinstance(node, ast.ClassDef)])
        yield Problem(here, f"no class {name} in {source}", _ALLOWED, hint)


def _find(module: str, places: Sequence[str]) -> ModuleSpec | None:
    """Find a module as import does, but without importing the packages above it."""
    top, *parts = module.split(".")
    spec = PathFinder.find_spec(top, list(places)) or _ask_others(top)
    for part in parts:
        if spec is None:
            return None
        # By its last name: of a whole one the packages above would have to be imported already.
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or ()))
    return spec


def _ask_others(module: str) -> ModuleSpec | None:
    """Ask the finders besides Python's own: an editable installation has one."""
    for finder in sys.meta_path:
        if finder not in (BuiltinImporter, FrozenImporter, PathFinder):
            spec = finder.find_spec(module, None)
            if spec is not None:
                return spec
    return None


def _unreadable(source: Path, error: Exception) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return f"{source}: too deeply nested"
    if isinstance(error, SyntaxError):
        return f"{source}, line {error.lineno}: {error.msg}"
    return f"{source}: {error.strerror if isinstance(error, OSError) else error}"


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else ""


def _near_file(module: str, folder: Path) -> str:
    return _near(module, sorted(path.stem for path in folder.glob("*.py")))


class _Names(NamedTuple):
    """The names that a module or class defines, and whether there may be more than can be seen.

    What is defined twice counts as a statement that tells nothing. `used` are the names that
    statements mention, other than definitions: whatever they name may have been changed there.
    """

    found: dict[str, ast.AST]
    open: bool
    used: frozenset[str]

    @classmethod
    def of(cls, body: Sequence[ast.stmt]) -> _Names:
        found: dict[str, ast.AST] = {}
        used: set[str] = set()
        for node in _statements(body):
            defined: list[str]
            if isinstance(node, ast.ClassDef | Function):
                defined = [node.name]
                makers = [n for d in node.decorator_list for n in ast.walk(d)]
                used.update(n.id for n in makers if isinstance(n, ast.Name))
            elif isinstance(node, ast.Import | ast.ImportFrom):
                defined = [a.asname or a.name.partition(".")[0] for a in node.names]
            else:
                names = [n for n in _expressions(node) if isinstance(n, ast.Name)]
                defined = [n.id for n in names if isinstance(n.ctx, ast.Store)]
                used.update(n.id for n in names if not isinstance(n.ctx, ast.Store))
            for name in defined:
                found[name] = ast.Pass() if name in found else node
        more = "__getattr__" in found or "*" in found or bool(used & _MAKERS)
        return cls(found, more, frozenset(used))


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield every statement that runs with the module, those within if, try, with and for too."""
    for node in body:
        yield node
        if not isinstance(node, ast.ClassDef | Function):
            for field in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, field, []))
            for branch in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
                yield from _statements(branch.body)


def _expressions(node: ast.stmt) -> Iterator[ast.AST]:
    """Yield what a statement itself is made of, not the statements within it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from ast.walk(child)


def _check_class(
    node: ast.ClassDef, strategy: StrategyConfig, path: str, *, is_whole: bool
) -> Iterator[Problem]:
    names = _Names.of(node.body)
    methods = {name: n for name, n in names.found.items() if isinstance(n, Function)}
    is_whole = is_whole and not (node.decorator_list or node.keywords or names.open)
    is_whole = is_whole and _is_plain(node.bases)
    for name, method in methods.items():
        if name in CALLBACKS:
            yield from _check_callback(node.name, method, path)
        elif name.startswith("on_") and is_whole:
            near = difflib.get_close_matches(name, CALLBACKS.keys() - names.found.keys(), 1, _NEAR)
            if near:
                found = f"{node.name}.{name}, which nobody calls"
                yield Problem(f"{path}.entry", found, near[0], "or give it another name")
    if is_whole and not names.found.keys() & CALLBACKS.keys():
        yield Problem(f"{path}.entry", f"class {node.name} with none of these", _ALLOWED)
    init = methods.get("__init__")
    if init is not None and not init.decorator_list and not node.decorator_list:
        yield from check_arguments(init.args, strategy.params, f"{path}.params", node.name)
    elif is_whole and strategy.params and not {"__init__", "__new__"} & names.found.keys():
        found = shorten(", ".join(strategy.params))
        yield Problem(f"{path}.params", found, "nothing", f"{node.name} has no __init__")


def _is_plain(bases: Sequence[ast.expr]) -> bool:
    return all(isinstance(base, ast.Name) and base.id == "object" for base in bases)


def _check_callback(owner: str, method: Function, path: str) -> Iterator[Problem]:
    wanted = CALLBACKS[method.name] + 1
    given = method.args
    names = [*given.posonlyargs, *given.args]
    least = len(names) - len(given.defaults)
    most = sys.maxsize if given.vararg else len(names)
    needs_key = any(default is None for default in given.kw_defaults)
    shape = f"{method.name}({', '.join(argument.arg for argument in names[1:])})"
    allowed = f"def {method.name}(self{', ...' if wanted > 1 else ''}), with {wanted - 1} argument"
    if isinstance(method, ast.AsyncFunctionDef):
        yield Problem(f"{path}.entry", f"async {owner}.{shape}", "a method without async")
    elif not method.decorator_list and _yields(method.body):
        found = f"generator {owner}.{shape}, of which nothing would run"
        yield Problem(f"{path}.entry", found, "a method without yield")
    elif not method.decorator_list and (needs_key or not least <= wanted <= most):
        yield Problem(f"{path}.entry", f"{owner}.{shape}", f"{allowed}{'s' * (wanted != 2)}")


def _yields(body: Iterable[ast.AST]) -> bool:
    """Whether a function of that body is a generator; functions within it are their own."""
    left = list(body)
    while left:
        node = left.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.ClassDef | Function | ast.Lambda):
            left += ast.iter_child_nodes(node)
    return False
