"""What is told of a strategy's class before anything starts; none of its code may run for that."""

from __future__ import annotations

import sys
import zipfile
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest

from pipeline.core.config import load, parse
from pipeline.core.config.entries import check_entry
from pipeline.core.config.roles import StrategyConfig
from pipeline.core.config.text import as_dict, show
from pipeline.core.errors import ConfigError, Problem
from tests.core.config.test_loading import GOOD, LIMITS, only, problems

SOURCE = """
import sys
from collections import OrderedDict as Imported
raise SystemExit("nobody may run this")

def function(): ...

class Good:
    def __init__(self, window: int, *, ratio: float = 0.5, name: "str | None" = None): ...
    def on_ticks(self, ticks): ...
    def on_stop(self, *anything): ...

class Odd:
    def __init__(self, window: "\\0", size: "1 +"): ...
    def on_stop(self): ...

class Plain:
    def on_ticks(self, ticks): ...

class Open:
    def __init__(self, window=3, **others): ...
    def on_event(self, event, more=None): ...

class Heir(Imported):
    pass

class Empty:
    pass

class Narrow:
    def on_ticks(self): ...

class Late:
    async def on_event(self, event): ...

class Lazy:
    def on_ticks(self, ticks):
        if ticks:
            yield ticks

class Inner:
    def on_ticks(self, ticks):
        def each():
            yield ticks
        list(each())

class Typo:
    def on_tick(self, ticks): ...
    def on_stop(self): ...

class Positional:
    def __init__(self, window, /): ...
    def on_stop(self): ...

class Helped(Plain):
    def on_tick(self, tick): ...

class Passed:
    on_ticks = function
    def on_tick(self, tick): ...

class Made:
    def __new__(cls, **params): ...
    def on_stop(self): ...

class Later:
    pass

Later.on_ticks = function

class Filled:
    pass

function(Filled)

class Joined:
    pass

@joins(Joined)
def on_ticks(self, ticks): ...

try:
    from somewhere import Fallback
except ImportError:
    class Fallback: ...

class Overloaded:
    @overload
    def on_ticks(self): ...
    def on_ticks(self, ticks): ...

class Assigned:
    on_ticks = __init__ = function

class Branched:
    if sys.platform:
        def __init__(self, window): ...
    try:
        def on_stop(self): ...
    finally:
        pass

match sys.platform:
    case _:
        class Matched(Plain): ...

if sys.platform:
    class Nested:
        def on_stop(self): ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("class Good:\n    def on_ticks(self, ticks:\n")
    (tmp_path / "made.py").write_text("globals()['Whatever'] = type('Whatever', (), {})\n")
    (tmp_path / "binary.py").write_bytes(b"\0")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("raise SystemExit\n")
    (tmp_path / "package" / "inner.py").write_text(SOURCE)
    (tmp_path / "spaces" / "of").mkdir(parents=True)
    (tmp_path / "spaces" / "of" / "names.py").write_text(SOURCE)
    (tmp_path / "deep.py").write_text("x = " + "-" * 100_000 + "1")
    (tmp_path / "long.py").write_text("x = " + "+".join(["1"] * 100_000))
    return tmp_path


def check(folder: Path, entry: str, **params: object) -> list[Problem]:
    text = f'{GOOD}[[strategy]]\nentry = "{entry}"\n[strategy.params]\n'
    text += "".join(f"{name} = {value}\n" for name, value in params.items())
    path = folder / "config.toml"
    path.write_text(text)
    try:
        load(path, limits=LIMITS)
    except ConfigError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    ("entry", "params"),
    [
        ("mine:Good", {"window": 5}),
        ("mine:Good", {"window": 5, "ratio": 1, "name": '"n"'}),
        ("mine:Plain", {}),
        ("mine:Inner", {}),
        ("mine:Odd", {"window": 1, "size": 2}),
        ("mine:Open", {"anything": "[1, 2]"}),
        ("mine:Heir", {"anything": 1}),  # only importing it would tell
        ("mine:Imported", {}),
        ("mine:Nested", {}),
        ("mine:Assigned", {"anything": 1}),
        ("mine:Branched", {"window": 1}),
        ("mine:Matched", {}),
        ("made:Whatever", {}),
        ("mine:Helped", {}),  # on_tick may be called by what it inherits
        ("mine:Passed", {}),
        ("mine:Made", {"anything": 1}),
        ("mine:Later", {}),
        ("mine:Filled", {}),
        ("mine:Joined", {}),
        ("mine:Fallback", {}),
        ("mine:Overloaded", {}),
        ("spaces.of.names:Plain", {}),
        ("package.inner:Plain", {}),
        ("ext.layout:Mode", {}),  # compiled
    ],
)
def test_what_may_be_in_order_passes(folder: Path, entry: str, params: dict[str, object]) -> None:
    assert check(folder, entry, **params) == []


@pytest.mark.parametrize(
    ("entry", "params", "told"),
    [
        ("mime:Good", {}, "strategy[0].entry: found no module mime in FOLDER or installed; "
         'expected "module:Class" (did you mean mine?)'),
        ("package.none:Good", {}, "found no module package.none"),
        ("broken:Good", {}, "broken.py, line 2: '(' was never closed"),
        ("binary:Good", {}, "binary.py"),
        ("deep:Good", {}, "deep.py: too deeply nested"),
        ("long:Good", {}, "long.py: too deeply nested"),
        ("mine:Goood", {}, "found no class Goood in FOLDER/mine.py; expected a class with any of "
         "on_start(market), on_ticks(ticks), on_event(event), on_stop() (did you mean Good?)"),
        ("mine:function", {}, "found function of mine.py is a function; expected a class"),
        ("mine:Empty", {}, "found class Empty with none of these"),
        ("mine:Narrow", {}, "found Narrow.on_ticks(); expected def on_ticks(self, ...), with 1 "
         "argument"),
        (
            "mine:Lazy", {}, "found generator Lazy.on_ticks(ticks), of which nothing would run; "
            "expected a method without yield",
        ),
        ("mine:Late", {}, "found async Late.on_event(event); expected a method without async"),
        ("mine:Typo", {}, "found Typo.on_tick, which nobody calls; expected on_ticks"),
        ("mine:Positional", {}, "found Positional.__init__ with window before a /"),
        ("mine:Plain", {"a": 1}, "strategy[0].params: found 'a'; expected nothing"),
        ("mine:Good", {}, "params.window: found nothing; expected a value: Good.__init__ has"),
        ("mine:Good", {"window": 1, "ratios": 2}, "params.ratios: found an unknown key; expected "
         "one of window, ratio, name, as Good.__init__ has them (did you mean ratio?)"),
        ("mine:Good", {"window": '"ten"'}, "params.window: found 'ten'; expected int"),
        ("mine:Good", {"window": "true"}, "params.window: found True; expected int"),
        ("mine:Good", {"window": 1, "name": 2}, "params.name: found 2; expected 'str | None'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(
    folder: Path, entry: str, params: dict[str, object], told: str
) -> None:
    found = check(folder, entry, **params)
    assert len(found) == 1, found
    assert told in str(found[0]).replace(str(folder), "FOLDER")
    assert "\n" not in str(found[0])


def test_a_config_is_shown_without_its_modules(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(GOOD + '[[strategy]]\nentry = "none:None"\n')
    assert load(path, limits=LIMITS, read_secrets=False).strategies[0].label == "none"


def test_keys_are_checked_as_everywhere() -> None:
    section = f"{GOOD}[[strategy]]\n"
    assert only(section).path == "strategy[0].entry"
    found = only(section + 'entry = "pipeline.core.errors"')
    assert (found.path, found.allowed) == (
        "strategy[0].entry", '"module:Class", as Python writes the two',
    )  # fmt: skip
    wrong = problems(section + 'entry = "none:A"\nparams = 5')
    assert [p.allowed for p in wrong] == ["a table with any keys", '"module:Class"']
    wrong = problems(section + 'entry = "none:A"\nslow = "skipp"\npolicy = "skip"\nname = "A b"')
    assert {p.path: p.hint for p in wrong}.keys() == {
        "strategy[0].slow", "strategy[0].policy", "strategy[0].name", "strategy[0].entry",
    }  # fmt: skip


def test_two_strategies_need_two_names(folder: Path) -> None:
    twice = '[[strategy]]\nentry = "mine:Plain"\n' * 2
    found = problems(GOOD + twice, folder)
    assert [p.path for p in found] == ["strategy[0].name", "strategy[1].name"]
    assert problems(GOOD + twice.replace("Plain", "PlainToo"), folder) != []


@pytest.mark.parametrize(
    ("name", "label"),
    [("MovingAverage", "moving-average"), ("_Ab2C", "ab2-c"), ("\u0926", "strategy"),
     ("A" * 40, "a" * 23)],
)  # fmt: skip
def test_a_label_is_made_of_the_class_name(name: str, label: str) -> None:
    assert StrategyConfig(entry=f"module:{name}").label == label


def test_params_are_shown_as_they_were_written(folder: Path) -> None:
    params = '{ window = 5, "odd key" = [1.5, "x"], inner = { flag = true } }'
    text = f'{GOOD}[[strategy]]\nentry = "mine:Open"\nparams = {params}\n'
    config = parse(text, limits=LIMITS, folder=folder)
    again = parse(show(config), limits=LIMITS, folder=folder)
    assert again.strategies == config.strategies
    assert hash(again.strategies) == hash(config.strategies)
    assert as_dict(config)["strategy"][0]["params"]["inner"] == {"flag": True}


def test_the_check_itself_reads_only(folder: Path) -> None:
    strategy = StrategyConfig(entry="package.inner:Plain")
    assert list(check_entry(strategy, "strategy[0]", folder)) == []


def test_a_module_in_an_archive_is_left_to_its_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = folder / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("packed.py", SOURCE)
    monkeypatch.syspath_prepend(archive)
    assert check(folder, "packed:Empty") == []


def test_a_module_that_only_a_finder_of_its_own_knows_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an editable installation has one."""
    away = folder / "away"
    away.mkdir()
    (away / "edited.py").write_text(SOURCE)

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object, target: object = None) -> object:
            assert path is None or name != "edited"
            return spec_from_file_location(name, away / f"{name}.py") if name == "edited" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert check(folder, "edited:Plain") == []
    assert "no class Goood" in str(check(folder, "edited:Goood")[0])
    assert "no module nowhere" in str(check(folder, "nowhere:Plain")[0])


def test_looking_for_a_module_imports_nothing(folder: Path) -> None:
    before = set(sys.modules)
    check(folder, "spaces.of.names:Plain")
    check(folder, "package.inner:Plain")
    assert not {name for name in sys.modules if name.startswith(("spaces", "package"))} - before
