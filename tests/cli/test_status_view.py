"""What fits a screen, and how figures look."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from pipeline.cli import figures
from pipeline.cli.status_view import screen, share_lines, whole
from pipeline.cli.tables import PlainLine
from pipeline.core.clock import NS_PER_S
from pipeline.core.enums import Reason, Role, State
from pipeline.services.control.timeline import Happening
from pipeline.services.status import snapshot
from pipeline.services.status.recent import NOTHING, recent, take_look
from tests.services.status.establish import Established


def lines_of(shown: RenderableType, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(shown)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


@pytest.mark.parametrize("lines", [3, 6, 10, 15, 23, 60])
def test_a_screen_keeps_to_its_lines(tmp_path: Path, lines: int) -> None:
    made = Established("whole", tmp_path, connections=3)
    made.fill()
    made.set_processes([(f"feed-{n}", Role.FEED, n) for n in range(40)])
    for page in made.feeds:
        page.set_state(State.RECONNECTING, Reason.CONNECT_TIMEOUT)
    look = take_look(made.paths)
    status = look.status
    shown = lines_of(screen(status, recent(look, look), lines))
    assert len(shown) <= max(lines, 4)
    assert not any("…" in line for line in shown)
    if lines == 23:
        assert shown[-1].startswith("and ")
    made.end()


def test_the_widest_states_fit_eighty_columns(tmp_path: Path) -> None:
    made = Established("whole", tmp_path)
    made.fill()
    for number, page in enumerate(made.feeds):
        page.set_state(State.RECONNECTING, Reason.CONNECT_TIMEOUT)
        page.record["connection_epoch"] = 9999
        made.commit(number, ticks_out=10**12 - 1, frames_in=10**9, gaps_out=999)
    text = "\n".join(lines_of(whole(snapshot(made.paths))))
    assert "…" not in text
    made.end()


def test_a_narrow_terminal_gets_fewer_columns_and_no_cut_figure(tmp_path: Path) -> None:
    made = Established("whole", tmp_path)
    made.fill()
    for page in made.feeds:
        page.set_state(State.RECONNECTING, Reason.CONNECT_TIMEOUT)
    made.set_processes([("feed-0", Role.FEED, 0)])
    look = take_look(made.paths)
    for shown in (whole(look.status), screen(look.status, recent(look, look), 60)):
        lines = [line.rstrip() for line in lines_of(shown, width=60)]
        assert "conn state        since" in "\n".join(lines)
        cut = [line for line in lines if "…" in line]
        assert cut and all(line.count("…") == 1 and line.endswith(" …") for line in cut), cut
        assert not any("epoch" in line or "stream %" in line for line in lines)
    made.end()


@pytest.mark.parametrize("width", [30, 40, 50])
def test_a_very_narrow_one_cuts_names_and_no_figure(tmp_path: Path, width: int) -> None:
    made = Established("whole", tmp_path)
    made.fill()
    for number, page in enumerate(made.feeds):
        page.set_state(State.RECONNECTING, Reason.CONNECT_TIMEOUT)
        made.commit(number, ticks_out=10**12 - 1, frames_in=10**9, gaps_out=999)
    made.set_processes([("feed-0", Role.FEED, 0)])
    look = take_look(made.paths)
    happened = Happening(
        number=1, kind="state", connection=0, state="RECONNECTING", reason="CONNECT_TIMEOUT",
        detail=0, start_ts_ns=NS_PER_S, end_ts_ns=NS_PER_S,
    )  # fmt: skip
    lists = [lines_of(whole(look.status), width)]
    lists.append(lines_of(screen(look.status, recent(look, look), 90, None, [happened]), width))
    for shown in lists:
        lines = [line.rstrip() for line in shown]
        assert max(map(len, lines)) <= width
        cut = [line for line in lines if re.search(r"[0-9.,]…", line)]
        assert not cut
        assert not [line for line in lines if line.startswith("! ") and re.search(r"\S…", line)]
        assert any("gaps lost" in line for line in lines), lines
        assert any("errors" in line for line in lines), lines
    assert any("05:30:01.000" in line for line in lines)
    made.end()


@pytest.mark.parametrize(
    ("width", "line"),
    [(80, "one  two  three"), (15, "one  two  three"), (14, "one  two  …"), (10, "one  …"),
     (6, "one  …"), (2, "o…")],
)  # fmt: skip
def test_a_line_leaves_out_what_has_no_room(width: int, line: str) -> None:
    assert lines_of(PlainLine(Text("one"), Text("two"), Text("three")), width) == [line]


def test_an_instance_without_anything(tmp_path: Path) -> None:
    made = Established("whole", tmp_path)
    text = "\n".join(lines_of(whole(snapshot(made.paths))))
    assert text.count("none") == 2
    assert "none" in "\n".join(lines_of(screen(snapshot(made.paths), NOTHING, 40)))
    made.end()


@pytest.mark.parametrize(
    ("totals", "lines", "rooms"),
    [
        ([3, 2, 5], 40, [3, 2, 5]),
        ([3, 2, 5], 13, [3, 2, 2]),
        ([30, 0, 40], 23, [14, 1, 2]),
        ([30, 20, 40], 23, [13, 2, 2]),
        ([3, 2, 5], 8, [2, 2]),
        ([3, 2, 5], 1, []),
    ],
)
def test_lines_are_shared_first_come(totals: list[int], lines: int, rooms: list[int]) -> None:
    found = share_lines(totals, lines)
    assert sum(found) + 2 * len(found) <= max(lines, 0) or not found
    assert found == rooms


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (figures.count, 0, "0"),
        (figures.count, 999, "999"),
        (figures.count, 1000, "1.00k"),
        (figures.count, 12345, "12.3k"),
        (figures.count, 999_950, "1.00M"),
        (figures.count, 3e15, "3000T"),
        (figures.duration, None, "-"),
        (figures.duration, 0.04, "0.0s"),
        (figures.duration, 59.7, "1m00s"),
        (figures.duration, 3725, "1h02m"),
        (figures.duration, 200_000, "2d07h"),
        (figures.latency, 850, "850ns"),
        (figures.latency, 12_345, "12.3us"),
        (figures.latency, 999_999, "1.00ms"),
        (figures.latency, 1_200_000_000, "1.20s"),
        (figures.mebibytes, 46_137_344, "44.0 MiB"),
    ],
)
def test_figures(function: object, value: float, text: str) -> None:
    assert callable(function)
    assert function(value) == text
