"""The list on disk: whole or not at all, and never replaced by a part of one."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from pipeline.core.errors import BadInstruments, NoInstruments
from pipeline.core.instrument import Instrument, Skips
from pipeline.instruments import load, read_info, write_store
from pipeline.instruments.store import age_warning, default_file
from tests.instruments.lists import DAY, share, small_list


def shares(count: int) -> list[Instrument]:
    return [share((number << 8) + 257, "NSE", f"S{number}") for number in range(count)]


def write(file: Path, rows: list[Instrument], **options: object) -> None:
    options = {"source": "csv x.csv", "day": DAY, **options}
    write_store(rows, file=file, **options)  # type: ignore[arg-type]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "list.sqlite"
    info = write_store(small_list(), file=file, source="csv x.csv", day=DAY)
    assert info == read_info(file) == load(file).info
    assert (info.day, info.source, info.rows, info.skipped) == (
        DAY, "csv x.csv", len(small_list()), 0,
    )  # fmt: skip
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["list.sqlite"]


def test_repeated_tokens_and_names_are_skipped(tmp_path: Path) -> None:
    rows = [*shares(100), share(257, "NSE", "OTHER"), share(3, "NSE", "S0")]
    skips = Skips()
    write(tmp_path / "x", rows, skips=skips)
    assert skips.examples == ["line 101: token 257 again", "line 102: NSE:S0 again"]
    assert read_info(tmp_path / "x").skipped == 2
    assert load(tmp_path / "x").token("NSE:S0") == 257


@pytest.mark.parametrize("count", [0, 49])
def test_a_part_of_a_list_is_refused(tmp_path: Path, count: int) -> None:
    file = tmp_path / "x"
    write(file, shares(100))
    with pytest.raises(BadInstruments, match="is as it was"):
        write(file, shares(count))
    assert read_info(file).rows == 100 and len(list(tmp_path.iterdir())) == 1
    write(file, shares(50))
    assert read_info(file).rows == 50


def test_force_takes_a_part_but_not_nothing(tmp_path: Path) -> None:
    file = tmp_path / "x"
    write(file, shares(100))
    write(file, shares(10), force=True)
    assert read_info(file).rows == 10
    with pytest.raises(BadInstruments, match="no instrument in it"):
        write(file, [], force=True)


def test_a_list_with_many_broken_rows_is_refused(tmp_path: Path) -> None:
    skips = Skips(6, ["line 2: too few columns"])
    with pytest.raises(BadInstruments, match=r"6 of 106 rows are broken \(line 2: too few"):
        write(tmp_path / "x", shares(100), skips=skips)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "x", shares(100), skips=skips, force=True)


def test_a_made_up_list_does_not_replace_a_real_one(tmp_path: Path) -> None:
    file = tmp_path / "x"
    write(file, shares(10))
    with pytest.raises(BadInstruments, match="simulated list would replace a real one"):
        write(file, shares(10), source="simulated, seed 1")
    write(file, shares(10), source="simulated, seed 1", force=True)
    write(file, shares(10), source="simulated, seed 2")
    write(file, shares(10), source="kite")


def test_an_error_half_way_leaves_the_old_list(tmp_path: Path) -> None:
    file = tmp_path / "x"
    write(file, shares(10))

    def cut() -> Iterator[Instrument]:
        yield from shares(9)
        raise ConnectionResetError(104, "Connection reset by peer")

    with pytest.raises(BadInstruments, match="Connection reset by peer"):
        write_store(cut(), file=file, source="kite")
    assert read_info(file).rows == 10 and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "content", [b"", b"not a database, but longer than its header" * 100, b"SQLite format 3\0" * 64]
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(BadInstruments, match="instruments sync"):
        load(file)
    write(file, shares(3))  # and replaced
    assert len(load(file)) == 3


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x"
    write(file, shares(2000))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadInstruments, match="instruments sync"):
        load(file)


def test_a_database_of_another_program_or_version(tmp_path: Path) -> None:
    file = tmp_path / "x"
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE t (x)")
    database.commit()
    database.close()
    with pytest.raises(BadInstruments, match="not an instrument list of ours"):
        load(file)
    write(file, shares(3))
    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(BadInstruments, match="of version 99"):
        read_info(file)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInstruments, match="name another file"):
        write(tmp_path / "file" / "x", shares(1))
    with pytest.raises(BadInstruments, match="make it anew"):
        load(tmp_path)
    with pytest.raises(NoInstruments):
        load(tmp_path / "none")


def test_an_awkward_path_is_no_address(tmp_path: Path) -> None:
    file = tmp_path / "a?mode=rw#b%20c" / "x y"
    write(file, shares(3))
    assert len(load(file)) == 3


def test_the_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_file() == tmp_path / "tickrail" / "instruments.sqlite"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, as the standard says
    monkeypatch.setenv("HOME", "/nowhere")
    assert str(default_file()) == "/nowhere/.local/share/tickrail/instruments.sqlite"


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(NoInstruments, match="XDG_DATA_HOME"):
        default_file()


def test_what_a_killed_sync_has_left_is_swept(tmp_path: Path) -> None:
    old, young, other = (tmp_path / f".{name}.partial" for name in ("x.1", "x.2", "y.1"))
    for path in (old, young, other):
        path.touch()
    os.utime(old, (1, 1))
    os.utime(other, (1, 1))
    write(tmp_path / "x", shares(3))
    assert {path.name for path in tmp_path.iterdir()} == {"x", young.name, other.name}


def test_an_old_list_is_told(tmp_path: Path) -> None:
    write(tmp_path / "x", shares(1))
    info = read_info(tmp_path / "x")
    assert age_warning(info, DAY) == ""
    assert "is of 2024-11-20, 1 day old;" in age_warning(info, date(2024, 11, 21))
    assert "3 days ahead of this machine's clock" in age_warning(info, date(2024, 11, 17))
