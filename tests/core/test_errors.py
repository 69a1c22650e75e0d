"""The error tree: exit codes, remedies, texts and pickling."""

from __future__ import annotations

import pickle

import pytest

from pipeline.core import errors
from pipeline.core.errors import PipelineError, Problem, Remedy
from pipeline.core.exit_codes import ExitCode


def _classes(root: type[PipelineError]) -> list[type[PipelineError]]:
    """The classes of the tree that this module defines; other modules may add leaves."""
    below = (c for child in root.__subclasses__() for c in _classes(child))
    return [c for c in (root, *below) if c.__module__ == errors.__name__]


EXAMPLES: list[PipelineError] = [
    errors.ConfigError("a.toml", [Problem("feed.spin", "'x'", "an integer", "remove it")]),
    errors.ShmFull(directory="/d", needed_bytes=2**20, free_bytes=0, key="[rings] seconds"),
    errors.InstanceNotFound("demo", ["other"]),
    errors.InstanceRunning("demo", 41),
    errors.InstanceEnded("demo", crashed=True),
    errors.Overrun(connection=2, lost=7),
    errors.Crashed("decoder 0", 12, "signal 11"),
    errors.NotSupportedYet("subscribe", "name it in [[subscription]]"),
    errors.AuthError("403"),
    errors.CapacityError("full", requested=5, available=3),
    errors.RequestRefused("no such connection", code="not_found", detail={"connection": 7}),
    errors.BadForm("NSE:", "the symbol ''", "a symbol"),
    errors.UnknownInstruments("INFI", {"INFI": ["INFY"]}),
    errors.CpuLatencyRefused("/dev/x: Permission denied", "a udev rule"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_pickling_keeps_text_and_fields(error: PipelineError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


@pytest.mark.parametrize("cls", _classes(PipelineError))
def test_every_class_has_a_code_a_remedy_and_a_place_in_the_tree(cls: type[PipelineError]) -> None:
    assert isinstance(cls.exit_code, ExitCode)
    assert isinstance(cls.remedy, Remedy)
    assert errors.__doc__ is not None and cls.__name__ in errors.__doc__
    assert cls.__doc__


def test_exit_codes_follow_sysexits() -> None:
    assert errors.ConfigError.exit_code == 78
    assert errors.AuthError.exit_code == 77
    assert errors.ShmFull.exit_code == errors.InstanceRunning.exit_code == 73
    assert errors.UpstreamError.exit_code == 69


def test_config_error_lists_every_problem() -> None:
    problems = [Problem(f"section.key{i}", "1", "2") for i in range(3)]
    text = str(errors.ConfigError("a.toml", problems))
    assert text.startswith("a.toml: 3 problems")
    assert all(f"section.key{i}: found 1; expected 2" in text for i in range(3))


def test_messages_name_what_to_do() -> None:
    assert "[rings] seconds" in str(EXAMPLES[1])
    assert "other" in str(EXAMPLES[2])
    assert "`python -m pipeline stat demo` shows" in str(
        errors.InstanceNotFound("demo", (), ["demo"])
    )
    assert "wait_s" in str(errors.InstanceNotFound("demo", ["demo"]))
    assert "41" in str(EXAMPLES[3])
    assert "kill" not in str(errors.InstanceRunning("demo", 0))  # kill 0 would be a whole group
