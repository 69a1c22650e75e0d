"""Whether a table of values fits the arguments of a function, by its source alone. Floor 1; pure.

Knows the annotations int, float, str, bool, list, dict, None and unions of them; any other
annotation takes everything here.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline.core.config.fields import shorten
from pipeline.core.errors import Problem

_TYPES: Final[Mapping[str, tuple[type[Any], ...]]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}


def check_arguments(
    arguments: ast.arguments, given: Mapping[str, object], path: str, owner: str
) -> Iterator[Problem]:
    """Yield a problem for each key of `given` that a method does not take, and each it misses."""
    named = {
        a.arg: a for a in [*arguments.args[not arguments.posonlyargs :], *arguments.kwonlyargs]
    }
    init = f"{owner}.__init__"
    takes = f"one of {', '.join(named)}, as {init} has them" if named else f"none: {init} has none"
    for name, value in given.items():
        argument = named.get(name)
        if argument is not None:
            yield from _check_type(argument, value, f"{path}.{name}")
        elif arguments.kwarg is None:
            near = difflib.get_close_matches(name, named, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else ""
            yield Problem(f"{path}.{name}", "an unknown key", takes, hint)
    for name in _required(arguments):
        if name not in given:
            yield Problem(f"{path}.{name}", "nothing", f"a value: {init} has no default for it")
    unnamed = arguments.posonlyargs[1 : len(arguments.posonlyargs) - _defaults_before(arguments)]
    if unnamed:
        found = f"{init} with {unnamed[0].arg} before a /"
        yield Problem(path, found, "arguments that can be named")


def _required(arguments: ast.arguments) -> Iterator[str]:
    plain = arguments.args[not arguments.posonlyargs :]
    count = max(0, len(plain) - len(arguments.defaults))
    yield from (argument.arg for argument in plain[:count])
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is None:
            yield argument.arg


def _defaults_before(arguments: ast.arguments) -> int:
    """How many of the arguments before the / have a default."""
    return max(0, len(arguments.defaults) - len(arguments.args))


def _check_type(argument: ast.arg, value: object, path: str) -> Iterator[Problem]:
    types = _types(argument.annotation)
    if types is None:
        return
    fits = isinstance(value, types)
    if isinstance(value, bool) and bool not in types:
        fits = False
    if not fits:
        assert argument.annotation is not None
        yield Problem(path, shorten(value), ast.unparse(argument.annotation))


def _types(annotation: ast.expr | None) -> tuple[type[Any], ...] | None:
    """Return the types that an annotation names; None when it cannot be told."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return _types(ast.parse(annotation.value, mode="eval").body)
        except (SyntaxError, ValueError):
            return None
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return (type(None),)
    if isinstance(annotation, ast.Name):
        return _TYPES.get(annotation.id)
    if isinstance(annotation, ast.Subscript):
        return _types(annotation.value)
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        left, right = _types(annotation.left), _types(annotation.right)
        return left + right if left is not None and right is not None else None
    return None
