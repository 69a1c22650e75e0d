"""`gateway key add | list | revoke`: what is made, said, and never said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.cli import main
from pipeline.services.keys import KeyStore, default_file

CONFIG = """\
[[account]]
name = "main"
url = "ws://127.0.0.1:9"
api_key = "demo"
[[connection]]
account = "main"
[[subscription]]
instruments = [408065]
"""
SECOND = '[[account]]\nname = "second"\nurl = "ws://127.0.0.1:9"\napi_key = "demo2"\n'


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Key = Callable[..., Done]


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Key:
    """A function that runs `gateway key` in this process, with a data folder of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def run(*arguments: str | Path) -> Done:
        code = main.run(["gateway", "key", *map(str, arguments)])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def config_file(folder: Path, text: str = CONFIG) -> Path:
    path = folder / "c.toml"
    path.write_text(text)
    return path


def test_a_key_is_shown_once_alone_on_stdout(key: Key) -> None:
    made = key("add", "screen", "--account", "main")
    assert made.code == 0
    text = made.out.strip()
    found = KeyStore(default_file()).verify(text)
    assert found is not None and (found.name, found.account) == ("screen", "main")
    key_id, secret = text.split(".")
    assert key_id in made.err and secret not in made.err
    for shown in (key("list"), key("list", "--json")):
        assert shown.code == 0 and key_id in shown.out and "screen" in shown.out
        assert secret not in shown.out + shown.err
    gone = key("revoke", key_id)
    assert gone.code == 0 and KeyStore(default_file()).verify(text) is None
    assert key("list").out.startswith("no keys in ")


def test_json(key: Key) -> None:
    made = json.loads(key("add", "a", "-a", "main", "--json", "--hours", "2").out)
    assert made["key"].startswith(f"{made['key_id']}.")
    (listed,) = json.loads(key("list", "--json").out)
    assert listed["expires_s"] - listed["created_s"] == 7200
    assert set(listed) == {"key_id", "name", "account", "created_s", "expires_s"}


def test_the_list_says_until_when(key: Key) -> None:
    key("add", "always", "-a", "main")
    key("add", "today", "-a", "main", "--hours", "12")
    lines = key("list").out.splitlines()
    assert lines[0].split() == ["ID", "NAME", "ACCOUNT", "MADE", "GOOD", "UNTIL"]
    assert {line.split()[1]: "it is revoked" in line for line in lines[1:]} == {
        "always": True, "today": False,
    }  # fmt: skip


def test_a_key_is_revoked_by_its_name_if_it_is_the_only_one(key: Key) -> None:
    for name in ("phone", "desk", "desk"):
        key("add", name, "-a", "main")
    assert key("revoke", "phone").code == 0
    twice = key("revoke", "desk")
    assert twice.code == 2 and twice.out == ""
    for info in KeyStore(default_file()).list():
        assert info.key_id in twice.err
        assert key("revoke", info.key_id).code == 0


def test_a_whole_key_to_revoke_is_understood_and_not_repeated(key: Key) -> None:
    text = key("add", "phone", "-a", "main").out.strip()
    gone = key("revoke", text)
    assert gone.code == 0 and text.split(".")[1] not in gone.out + gone.err
    again = key("revoke", text)
    assert again.code == 2 and text.split(".")[1] not in again.out + again.err


def test_the_accounts_of_a_config_are_checked(key: Key, tmp_path: Path) -> None:
    config = config_file(tmp_path)
    assert key("add", "a", "--config", config).code == 0
    (info,) = KeyStore(default_file()).list()
    assert info.account == "main"
    wrong = key("add", "a", "--account", "mian", "--config", config)
    assert wrong.code == 2 and "--account mian: expected one of main" in wrong.err
    config = config_file(tmp_path, SECOND + CONFIG)
    wrong = key("add", "a", "--config", config)
    assert wrong.code == 2 and "expected one of second, main" in wrong.err


def test_a_file_of_ones_own(key: Key, tmp_path: Path) -> None:
    file = tmp_path / "own" / "k.sqlite"
    text = key("add", "a", "-a", "main", "--file", file).out.strip()
    assert KeyStore(file).verify(text) and not default_file().exists()
    assert key("list").out.startswith("no keys in ")
    assert text.split(".")[0] in key("list", "--file", file).out


def test_the_file_of_a_config(key: Key, tmp_path: Path) -> None:
    config = config_file(tmp_path, CONFIG + '[gateway]\nkeys_file = "k.sqlite"\n')
    text = key("add", "a", "--config", config).out.strip()
    assert KeyStore(tmp_path / "k.sqlite").verify(text) and not default_file().exists()
    assert text.split(".")[0] in key("list", "--config", config).out
    other = tmp_path / "other.sqlite"
    assert "no keys in" in key("list", "--config", config, "--file", other).out
    assert key("revoke", "a", "--config", config).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "a b", "-a", "main"], "the name of a key: found 'a b'; expected 1 to 64"),
        (["add", "", "-a", "main"], "the name of a key: found ''"),
        (["add", "x" * 200, "-a", "main"], "found 200 characters"),
        (["add", "a", "-a", "MAIN"], "the account of a key: found 'MAIN'; expected 1 to 32"),
        (["add", "a"], "say for which account, with --account NAME"),
        (["add", "a", "-a", "main", "--hours", "0"], "0.01"),
        (["add", "a", "-a", "main", "--hours", "soon"], "number"),
        (["add"], "NAME"),
        (["revoke"], "ID"),
        (["revoke", "nosuch"], "no such key"),
        (["revoke", "../x"], "no such key"),
        (["list", "extra"], "extra"),
    ],
)
def test_what_is_wrong_is_said(key: Key, arguments: list[str], said: str) -> None:
    done = key(*arguments)
    assert done.code == 2 and done.out == ""
    assert said in " ".join(done.err.split())
    assert not default_file().exists()


def test_a_config_or_a_file_that_cannot_be_used(key: Key, tmp_path: Path) -> None:
    missing = key("add", "a", "--config", tmp_path / "nosuch.toml")
    assert missing.code != 0 and "nosuch.toml" in missing.err
    (tmp_path / "keys").write_text("not a database, and long enough to be looked at as one")
    (tmp_path / "keys").chmod(0o600)
    for arguments in (["list"], ["add", "a", "-a", "main"], ["revoke", "0123456789ab"]):
        done = key(*arguments, "--file", tmp_path / "keys")
        assert done.code == 1 and "cannot be" in done.err and "Traceback" not in done.err
