"""Keys: made once, kept as digests, listed, revoked, verified; by any thread and process."""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.services.keys import (
    DEFAULT_OWNER,
    PAGE_KEY_S,
    BadKeyName,
    KeyStore,
    KeyStoreError,
    Principal,
    default_file,
)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1_767_584_700.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "data" / "keys.sqlite", {"main": "asha", "second": "bob"})


def test_a_key_lets_in_until_it_is_revoked(store: KeyStore) -> None:
    text = store.add("screen", "main")
    (info,) = store.list()
    assert store.verify(text) == Principal(info.key_id, "screen", "main", "asha")
    assert store.valid([info.key_id, "other"]) == {info.key_id}
    assert store.revoke(info.key_id)
    assert store.verify(text) is None and store.list() == () and store.valid([info.key_id]) == set()
    assert not store.revoke(info.key_id)


def test_each_account_has_its_owner(store: KeyStore) -> None:
    keys = [store.add("phone", account) for account in ("main", "second", "gone")]
    owners = [found.owner for key in keys if (found := store.verify(key))]
    assert owners == ["asha", "bob", None]
    found = KeyStore(store.file).verify(keys[2])
    assert found is not None and found.owner == DEFAULT_OWNER


def test_a_page_has_its_key_for_half_a_day(tmp_path: Path) -> None:
    clock = Clock()
    store = KeyStore(tmp_path / "keys.sqlite", now_s=clock)
    page, other = store.add("page", "main", PAGE_KEY_S), store.add("script", "main")
    ids = [page.partition(".")[0], other.partition(".")[0]]
    assert {info.key_id: info.expires_s for info in store.list()} == {
        ids[0]: int(clock.now_s) + 12 * 3600,
        ids[1]: None,
    }
    clock.now_s += 12 * 3600 - 1
    assert store.verify(page) and store.valid(ids) == set(ids)
    clock.now_s += 1
    assert store.verify(page) is None and store.verify(other)
    assert store.valid(ids) == {ids[1]} and len(store.list()) == 1
    store.add("next", "main")
    with closing(sqlite3.connect(store.file)) as database:
        assert database.execute("SELECT count(*) FROM key").fetchone() == (2,)


@pytest.mark.parametrize("times", [pytest.param(500), pytest.param(20_000, marks=pytest.mark.full)])
def test_forged_keys_are_refused(store: KeyStore, times: int) -> None:
    key = store.add("screen", "main")
    key_id, secret = key.split(".")
    for i in range(times):
        forged = [
            f"{key_id}.{secrets.token_hex(32)}",
            f"{secrets.token_hex(6)}.{secret}",
            f"{key_id}.{secret[: i % 64]}",
            f"{key}{i % 10}",
            key.upper(),
            f"{key_id}' OR 1=1 --.{secret}",
            secrets.token_bytes(i % 80).decode("latin-1"),
            f"\ud800{key}",
        ][i % 8]
        assert store.verify(forged) is None, forged
    assert store.verify(key)


def test_the_file_is_ours_alone_and_has_no_key_in_it(store: KeyStore) -> None:
    before = os.umask(0)
    try:
        keys = [store.add("screen", "main") for _ in range(20)]
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700
    content = b"".join(path.read_bytes() for path in store.file.parent.iterdir())
    for key in keys:
        assert key.partition(".")[2].encode() not in content
        assert bytes.fromhex(key.partition(".")[2]) not in content


def test_a_file_that_others_can_write_lets_nobody_in(store: KeyStore) -> None:
    key = store.add("screen", "main")
    store.file.chmod(0o622)
    with pytest.raises(KeyStoreError, match="cannot be read"):
        store.verify(key)
    store.add("other", "main")  # whoever may write it mends its mode, too
    assert store.verify(key)


def test_no_file_is_no_key_and_makes_none(store: KeyStore) -> None:
    assert store.verify("0123456789ab.x") is None and store.list() == ()
    assert not store.revoke("0123456789ab")
    assert not store.file.parent.exists()


def test_an_empty_file_is_no_key(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    store.file.touch(mode=0o600)
    assert store.list() == ()
    assert store.verify(store.add("screen", "main"))


def test_a_file_of_another_kind_is_told_without_a_key(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys.sqlite")
    store.file.write_text("not a database, and long enough to be looked at as one")
    store.file.chmod(0o600)
    for act in (
        store.list,
        lambda: store.verify("0123456789ab.cAnArY"),
        lambda: store.add("a", "b"),
        lambda: store.revoke("0123456789ab"),
    ):
        with pytest.raises(KeyStoreError) as caught:
            act()
        assert str(store.file) in str(caught.value) and "cAnArY" not in str(caught.value)
        assert isinstance(caught.value, PipelineError)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyStoreError, match="cannot be opened"):
        KeyStore(tmp_path / "file" / "keys.sqlite").add("a", "b")


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "a\n", "a" * 65, "é", '"', "<b>", "a/b"])
def test_names_are_plain_words(store: KeyStore, name: str) -> None:
    with pytest.raises(BadKeyName, match="the name of a key"):
        store.add(name, "main")
    with pytest.raises(BadKeyName, match="the account of a key"):
        store.add("fine", name.upper())
    assert store.list() == ()


def test_threads_make_and_verify_at_the_same_time(store: KeyStore) -> None:
    first = store.add("first", "main")
    wrong: list[object] = []

    def work(number: int) -> None:
        for i in range(5):
            key = store.add(f"key-{number}-{i}", "main")
            if not (store.verify(key) and store.verify(first)) or store.verify(key + "x"):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(store.list()) == 21


def test_what_another_process_makes_counts_at_once(store: KeyStore) -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline.services.keys import KeyStore;"
        "print(KeyStore(Path(sys.argv[1])).add('other', 'main'), end='')"
    )
    line = [sys.executable, "-c", script, str(store.file)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    assert store.verify(done.stdout)


def test_a_writer_killed_half_way_leaves_the_keys_as_they_were(store: KeyStore) -> None:
    key = store.add("screen", "main")
    script = (
        "import os, sqlite3, sys; database = sqlite3.connect(sys.argv[1]);"
        "database.execute('PRAGMA cache_size = 1'); database.execute('DELETE FROM key');"
        "database.executemany('INSERT INTO key VALUES (?, ?, ?, ?, 0, NULL)',"
        " [(str(i), bytes(2000), 'x', 'x') for i in range(200)]);"
        "os._exit(9)"
    )
    line = [sys.executable, "-c", script, str(store.file)]
    assert subprocess.run(line, check=False, timeout=60).returncode == 9
    assert store.file.with_name(f"{store.file.name}-journal").stat().st_size > 0
    assert store.verify(key) and len(store.list()) == 1


def test_a_key_shows_nowhere(store: KeyStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = (key := store.add("screen", "main")).partition(".")[2]
    found = store.verify(key)
    for shown in (repr(store), repr(store.list()), repr(found), repr(vars(store)), caplog.text):
        assert secret not in shown


def test_the_default_place_is_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert default_file() == Path("/somewhere/tickrail/keys.sqlite")
