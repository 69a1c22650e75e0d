"""Values against the arguments of a function, by its source."""

from __future__ import annotations

import ast

import pytest

from pipeline.core.config.arguments import check_arguments


def found(signature: str, **given: object) -> list[str]:
    function = ast.parse(f"def __init__({signature}): ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    return [str(problem) for problem in check_arguments(function.args, given, "params", "C")]


@pytest.mark.parametrize(
    ("signature", "given"),
    [
        ("self", {}),
        ("self, a, b=1, *, c, d=2", {"a": 1, "c": 2}),
        ("self, a=1, /, b=2", {"b": 3}),
        ("self, *rest, **others", {"anything": 1}),
        ("self, a: float, b: list[int], c: 'int | None' = None", {"a": 1, "b": [], "c": 5}),
        ("self, a: Path, b: np.ndarray, c: Literal['x']", {"a": 1, "b": 2, "c": 3}),
        ("self, a: 'not python'", {"a": 1}),
    ],
)
def test_what_fits(signature: str, given: dict[str, object]) -> None:
    assert found(signature, **given) == []


@pytest.mark.parametrize(
    ("signature", "given", "told"),
    [
        ("self", {"a": 1}, "params.a: found an unknown key; expected none: C.__init__ has none"),
        ("self, *, a", {}, "params.a: found nothing; expected a value: C.__init__ has no default"),
        ("self, a, /, b", {"b": 1}, "params: found C.__init__ with a before a /"),
        ("self, a: int | None", {"a": "x"}, "params.a: found 'x'; expected int | None"),
        ("self, a: dict[str, int]", {"a": []}, "params.a: found []; expected dict[str, int]"),
        ("self, a: bool", {"a": 1}, "params.a: found 1; expected bool"),
    ],
)
def test_what_does_not_fit(signature: str, given: dict[str, object], told: str) -> None:
    problems = found(signature, **given)
    assert len(problems) == 1 and told in problems[0], problems
