"""Classes that can be hosted, and every refusal of those that cannot, in one sentence."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.exit_codes import ExitCode
from pipeline.strategy.hosting.entry import EntryError, callbacks, check_params, load_class


class Good:
    def __init__(self, window: int, *, ratio: float = 1.0) -> None: ...
    def on_ticks(self, ticks: object) -> None: ...
    def on_stop(self) -> None: ...


class Nothing:
    """Has no callback at all."""


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Any]:
    """Write a module of a new name, and return its entry for a class; all is forgotten later."""
    path, modules = sys.path[:], set(sys.modules)

    def write(text: str, name: str = "It") -> str:
        module = f"m{uuid.uuid4().hex}"
        (tmp_path / f"{module}.py").write_text(text)
        return f"{module}:{name}"

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def refusal(entry: str, folder: Path) -> str:
    with pytest.raises(EntryError) as caught:
        load_class(entry, [str(folder), *sys.path])
    assert caught.value.exit_code is ExitCode.CONFIG
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_class_is_imported_from_the_first_place(write: Any, tmp_path: Path) -> None:
    entry = write("class It:\n    def on_stop(self): return 5\n")
    cls = load_class(entry, [str(tmp_path), *sys.path])
    assert callbacks(cls())["on_stop"]() == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_package_at_all", "imports no_such_package_at_all, which is not installed"),
        ("from sys import no_such_name", "cannot be imported: cannot import name"),
        ("class It:\n  (", "line 2: '(' was never closed"),
        ("class Other: ...", "has no class It"),
        ("def It(): ...", "is of type function; expected a class"),
    ],
)
def test_what_is_no_class_is_refused(write: Any, tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(write(text), tmp_path)


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no module none_such" in refusal("none_such.inner:It", tmp_path)


def test_what_user_code_raises_passes(write: Any, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        load_class(write("1 / 0"), [str(tmp_path), *sys.path])


def test_params_have_to_fit() -> None:
    check_params(Good, {"window": 1})
    for params, told in (
        ({}, "missing a required argument: 'window'"),
        ({"window": 1, "x": 2}, "unexpected keyword argument 'x'"),
    ):
        with pytest.raises(EntryError, match=f"params do not fit Good: .*{told}"):
            check_params(Good, params)


def test_only_what_is_there_is_called() -> None:
    assert sorted(callbacks(Good(1))) == ["on_stop", "on_ticks"]
    with pytest.raises(EntryError, match="Nothing has none of on_start"):
        callbacks(Nothing())


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (lambda: None, "on_ticks is called with 1 argument: too many positional arguments"),
        (lambda a, b: None, "on_ticks is called with 1 argument: missing a required argument"),
        (7, "on_ticks is no plain method"),
        (lambda ticks: (yield ticks), "on_ticks is no plain method"),
    ],
)
def test_a_callback_takes_what_it_is_given(method: object, told: str) -> None:
    strategy = Good(1)
    strategy.on_ticks = method  # type: ignore[method-assign, assignment]
    with pytest.raises(EntryError, match=told):
        callbacks(strategy)
