"""The harness of `bench`: what is judged, what is skipped, and what is left when it ends."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from benchmarks.harness import catalogue, export, text
from benchmarks.harness.bench import Bench, Case, Quantity, Scenario, Size
from benchmarks.harness.children import ChildFailed
from benchmarks.harness.figure import OURS, Figure, Goal, Kind, judge, merge
from benchmarks.harness.session import Results, run_scenarios

COST = Quantity(key="ns", group="cost", unit="ns", goal=Goal(must=30, aim=10, ahead={"peer": 2}))


def figure(case: str, *samples: float, higher: bool = False, goal: Goal | None = None) -> Figure:
    return Figure(
        group="g", case=case, unit="u", samples=list(samples), higher_is_better=higher, goal=goal
    )


@pytest.mark.parametrize(
    ("higher", "samples", "goal", "holds"),
    [
        (False, (31, 29, 40), Goal(must=30), True),
        (False, (31, 32), Goal(must=30), False),
        (True, (4, 5, 6), Goal(must=6), True),
        (True, (4, 5), Goal(must=6), False),
        (False, (10,), Goal(ahead={"peer": 5}), True),
        (False, (21,), Goal(ahead={"peer": 5}), False),
        (False, (21,), Goal(ahead={"nobody": 5}), None),
    ],
)
def test_the_best_sample_is_judged(
    higher: bool, samples: tuple[float, ...], goal: Goal, holds: bool | None
) -> None:
    own = figure(OURS, *samples, higher=higher, goal=goal)
    [found] = judge([own, figure("peer", 100, 120, higher=higher)])
    assert found.kind is Kind.MUST
    assert found.holds is holds


def test_ratios_are_best_against_best_in_both_directions() -> None:
    assert figure(OURS, 2, 8).times_better_than(figure("peer", 10, 4)) == 2
    fast, slow = figure(OURS, 2, 8, higher=True), figure("peer", 1, 4, higher=True)
    assert fast.times_better_than(slow) == 2


def test_tries_are_judged_together() -> None:
    merged = merge([figure(OURS, 9)], [figure(OURS, 3), figure("peer", 1)])
    assert [(one.case, one.samples) for one in merged] == [(OURS, [9, 3]), ("peer", [1])]


def scenario(run: object, name: str = "one") -> Scenario:
    return Scenario(name=name, about="about it", run=run)  # type: ignore[arg-type]


def test_a_scenario_that_misses_is_tried_again_and_its_samples_add_up() -> None:
    costs = iter([50.0, 20.0, 10.0])

    def run(bench: Bench) -> None:
        bench.note(Quantity(key="", group="g", unit="u", goal=Goal(must=30)), OURS, [next(costs)])

    results = run_scenarios([scenario(run)], Size.TINY, tries=3)
    [outcome] = results.outcomes
    assert (outcome.tries, outcome.figures[0].samples) == (2, [50.0, 20.0])
    assert results.holds(Kind.MUST)


def test_cases_take_turns_and_a_missing_peer_is_told() -> None:
    calls: list[str] = []

    def case(name: str, package: str | None = None) -> Case:
        def measure() -> dict[str, float]:
            calls.append(name)
            return {"ns": len(calls)}

        return Case(name=name, measure=measure, package=package)

    bench = Bench(Size.FULL, seconds_max=60)
    with bench.stack:
        cases = [case(OURS), case("peer"), case("gone", "no_such_package")]
        bench.compare(cases, [COST], rounds=2)
    assert calls == [OURS, "peer", "peer", OURS]
    assert [one.case for one in bench.figures] == [OURS, "peer"]
    assert bench.figures[1].goal is None
    assert "no_such_package is missing" in bench.skipped[0]


def test_rounds_end_with_the_scenarios_time_but_never_before_the_first() -> None:
    bench = Bench(Size.FULL, seconds_max=0)
    with bench.stack:
        assert list(bench.rounds(5)) == [0]


def test_a_scenario_that_cannot_be_measured_fails_the_run_not_the_others() -> None:
    def bad(bench: Bench) -> None:
        raise ChildFailed("the peer is not well")

    def good(bench: Bench) -> None:
        bench.note(COST, OURS, [1.0])

    results = run_scenarios([scenario(bad, "bad"), scenario(good, "good")], Size.TINY)
    assert [bool(one.failed) for one in results.outcomes] == [True, False]
    assert not results.holds(Kind.FLOOR)
    assert any("the peer is not well" in line for line in text.lines(results))


def test_children_are_dead_when_their_scenario_is_over(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("print('here', flush=True)\ninput()\n")
    found = []

    def run(bench: Bench) -> None:
        found.append(bench.children.start([str(program)], piped=True, asked=True))
        assert bench.children.first_line(found[0]) == "here"
        raise RuntimeError("something else")

    run_scenarios([scenario(run)], Size.TINY)
    assert found[0].returncode == -signal.SIGKILL


def test_a_scenario_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.session._GRACE_S", 0.1)
    slow = Scenario(name="slow", about="", run=lambda bench: time.sleep(60), seconds_max=0.1)
    before = signal.getsignal(signal.SIGALRM)
    timer = signal.getitimer(signal.ITIMER_REAL)[0]
    results = run_scenarios([slow], Size.TINY)
    assert "did not end" in results.outcomes[0].failed
    assert signal.getsignal(signal.SIGALRM) is before
    assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) == (timer > 0)


def some_results() -> Results:
    def run(bench: Bench) -> None:
        bench.note(COST, OURS, [12.0, 14.0])
        bench.note(COST, "peer", [120.0])
        bench.remarks.append("a <remark>")

    return run_scenarios([scenario(run)], Size.TINY)


def test_results_as_json_text_and_markdown_say_the_same() -> None:
    results = some_results()
    found = json.loads(json.dumps(export.as_json(results)))
    assert found["holds"] == {"floor": True, "must": True, "aim": False}
    assert found["scenarios"][0]["figures"][0]["samples"] == [12.0, 14.0]
    lines = "\n".join(text.lines(results))
    assert "must: at most 30 ns; 12.0: ok" in lines
    assert "aim: at most 10 ns; 12.0: not reached" in lines
    assert "| cost | ns | 12.0 | 13.0 | 14.0 |" in export.as_markdown(results)
    assert "peer 10.0x" in export.as_markdown(results)


def test_names_select_by_their_beginning() -> None:
    everything = catalogue.select([])
    assert len({one.name for one in everything}) == len(everything)
    assert [one.name for one in catalogue.select(["decode"])] == ["decode-100", "decode-1"]
    assert [one.name for one in catalogue.select(["end-to-end-1"])] == ["end-to-end-1"]
    with pytest.raises(catalogue.UnknownScenario, match=r"decode-100"):
        catalogue.select(["no-such"])


def test_every_scenario_file_is_listed_shows_its_topology_and_says_what_a_regression_means() -> (
    None
):
    files = {p.stem for p in Path(catalogue.__file__).parents[1].glob("scenarios/[!_]*.py")}
    assert files == set(catalogue.MODULES)
    for name in sorted(files):
        path = Path(catalogue.__file__).parents[1] / "scenarios" / f"{name}.py"
        head = path.read_text().split('"""')[1]
        assert "->" in head, name
        assert "regression here" in head, name


def test_the_page_holds_every_figure_and_escapes_what_it_shows() -> None:
    from benchmarks.harness.page import page

    found = page(some_results())
    assert found.count("<svg") == 1
    assert found.count('class="ours"') == 1
    assert "a &lt;remark&gt;" in found
    assert "http" not in found.replace("http-equiv", "")
    assert "prefers-color-scheme: dark" in found


def test_what_a_killed_child_has_left_in_temporary_files_goes_with_it(tmp_path: Path) -> None:
    bench = Bench(Size.TINY, seconds_max=60)
    program = tmp_path / "program.py"
    program.write_text("import tempfile\nprint(tempfile.mkdtemp(), flush=True)\ninput()\n")
    with bench.stack:
        child = bench.children.start([str(program)], piped=True, asked=True)
        folder = Path(bench.children.first_line(child))
        assert folder.is_dir()
    assert child.returncode == -signal.SIGKILL
    assert not folder.parent.exists()
