"""Find a user's class and see that it can be used, each refusal in one sentence. Floor 3.

What the source alone tells was looked at before anything started (`pipeline.core.config.entries`);
this is the rest, which needs the module to be imported. What user code raises by itself passes.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pipeline.core.config.entries import CALLBACKS
from pipeline.core.errors import PipelineError
from pipeline.core.exit_codes import ExitCode

#: Calling such a function runs nothing of it.
_NOT_PLAIN: Final = (
    inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction,
)  # fmt: skip


class EntryError(PipelineError):
    """A strategy's entry cannot be used as it is: nothing that a restart would mend."""

    exit_code = ExitCode.CONFIG


def load_class(entry: str, search_path: Sequence[str]) -> type[Any]:
    """Import a module and return its class; raise EntryError when there is none."""
    module, _, name = entry.partition(":")
    sys.path[:] = search_path
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise EntryError(_not_imported(module, error)) from error
    except SyntaxError as error:
        raise EntryError(f"{error.filename}, line {error.lineno}: {error.msg}") from None
    if found is None:
        raise EntryError(f"module {module} has no class {name}")
    if not isinstance(found, type):
        raise EntryError(f"{entry} is of type {type(found).__name__}; expected a class")
    return found


def _not_imported(module: str, error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        if module == error.name or module.startswith(f"{error.name}."):
            return f"there is no module {module}: it is looked for beside the config file first"
        return f"module {module} imports {error.name}, which is not installed here"
    return f"module {module} cannot be imported: {error}"


def check_params(cls: type[Any], params: Mapping[str, Any]) -> None:
    """Raise EntryError when `cls(**params)` could not even begin."""
    problem = _misfit(cls, (), params)
    if problem:
        raise EntryError(f"params do not fit {cls.__name__}: {problem}")


def callbacks(strategy: object) -> dict[str, Callable[..., object]]:
    """Return the methods that will be called, by name; raise EntryError when one cannot be."""
    found = {}
    name = type(strategy).__name__
    for callback, count in CALLBACKS.items():
        method = getattr(strategy, callback, None)
        if method is None:
            continue
        if not callable(method) or any(check(method) for check in _NOT_PLAIN):
            raise EntryError(f"{name}.{callback} is no plain method")
        problem = _misfit(method, (None,) * count, {})
        if problem:
            wanted = f"{count} argument{'s' if count != 1 else ''}"
            raise EntryError(f"{name}.{callback} is called with {wanted}: {problem}")
        found[callback] = method
    if not found:
        raise EntryError(f"{name} has none of {', '.join(CALLBACKS)}: nothing would be called")
    return found


def _misfit(
    function: Callable[..., object], arguments: tuple[object, ...], named: Mapping[str, Any]
) -> str:
    """Return why a call would be refused; nothing when it would not, or nobody can tell."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        return ""
    try:
        signature.bind(*arguments, **named)
    except TypeError as error:
        return str(error)
    return ""
