"""`token login | set` against the simulated exchange: what is stored, said and never said."""

from __future__ import annotations

import io
import os
import pty
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from websocket import WebSocketBadStatusException

from pipeline.cli import main
from tests.sim.harness import Client, Simulator, simulator

CANARY = "cAnArY0access0token0of0today"
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("sim"), "--instruments", "50") as running:
        running.command("rest_limits", quote=0, default=0)
        yield running


def write_config(folder: Path, port: int, *lines: str, token: str = "file:token") -> Path:
    path = folder / "c.toml"
    own = "\n".join(lines)
    path.write_text(
        f'[[account]]\nname = "main"\nurl = "ws://127.0.0.1:{port}"\napi_key = "demo"\n'
        f'access_token = "{token}"\n{own}\n[[connection]]\naccount = "main"\n'
        "[[subscription]]\ninstruments = [408065]\n"
    )
    return path


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Token = Callable[..., Done]


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Token:
    """A function that runs `token` in this process, with what is said on its stdin."""

    def run(*arguments: str | Path, said: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        code = main.run(["token", *map(str, arguments)])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def log_in(address: str) -> str:
    """Do what a person does in his browser; return the address that it ends at."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(_Stay).open(address, timeout=TIMEOUT_S)
    caught.value.close()
    return f"http://127.0.0.1{caught.value.headers['Location']}"


def opens(exchange: Simulator, access_token: str) -> bool:
    """Say whether the exchange lets a feed in with this token."""
    try:
        Client(exchange.url("demo", access_token)).ws.shutdown()
    except WebSocketBadStatusException as error:
        assert error.status_code == 403
        return False
    return True


def test_a_login_is_exchanged_and_stored(token: Token, exchange: Simulator, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("demo-secret\n")
    secret.chmod(0o600)
    config = write_config(tmp_path, exchange.port, 'api_secret = "file:secret"')
    address = f"http://127.0.0.1:{exchange.port}/connect/login?v=3&api_key=demo"
    end = log_in(address)
    done = token("login", "--config", config, "--account", "main", said=end + "\n")
    assert done.code == 0, done.err
    assert address in done.err and "logged in as SIMDEMO" in done.out
    file = tmp_path / "token"
    stored = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert opens(exchange, stored) and not opens(exchange, "demo")
    for hidden in (stored, "demo-secret", end.partition("request_token=")[2]):
        assert hidden not in done.out + done.err
    again = token("login", "--config", config, said=end + "\n")
    assert again.code == 77 and "rejected the request token, or the API secret" in again.err
    assert file.read_text().strip() == stored
    assert list(tmp_path.glob(".token*")) == []
    exchange.command("restore_token", key="demo")


def test_the_secret_is_asked_for_where_the_config_has_none(
    token: Token, exchange: Simulator, tmp_path: Path
) -> None:
    config = write_config(tmp_path, exchange.port)
    address = f"http://127.0.0.1:{exchange.port}/connect/login?v=3&api_key=demo"
    request_token = log_in(address).partition("request_token=")[2]
    done = token("login", "--config", config, said=f"{request_token}\ndemo-secret\n")
    assert done.code == 0, done.err
    assert opens(exchange, (tmp_path / "token").read_text().strip())
    exchange.command("restore_token", key="demo")


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ("", 2, "expected the address that the login led to on stdin"),
        ("https://x/?status=cancelled\n", 2, "expected a request token"),
        ("abcdef123456\n", 2, "expected the API secret on stdin"),
        ("abcdef123456\nwrong-secret\n", 77, "rejected the request token, or the API secret"),
        ("a b\n", 78, "one line of printable ASCII"),
    ],
)
def test_what_cannot_be_exchanged_stores_nothing(
    token: Token, exchange: Simulator, tmp_path: Path, said: str, code: int, told: str
) -> None:
    config = write_config(tmp_path, exchange.port)
    done = token("login", "--config", config, said=said)
    assert (done.code, done.out) == (code, ""), done.err
    assert told in done.err and "Traceback" not in done.err
    assert not (tmp_path / "token").exists()


def test_nobody_there_is_upstream_unavailable(token: Token, tmp_path: Path) -> None:
    config = write_config(tmp_path, 9)
    done = token("login", "--config", config, said="abcdef123456\nsecret123\n")
    assert done.code == 69 and "session/token: no answer" in done.err


def test_set_stores_what_stdin_says(token: Token, tmp_path: Path) -> None:
    config = write_config(tmp_path, 9)
    file = tmp_path / "token"
    file.write_text("yesterdays0token\n")
    file.chmod(0o644)
    before = file.stat().st_ino
    done = token("set", "-c", config, "-a", "main", said=f"  {CANARY}\n")
    assert done.code == 0, done.err
    assert file.read_text() == f"{CANARY}\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_ino != before  # whoever reads meanwhile has the old one, or the new one
    assert CANARY not in done.out + done.err


def test_set_asks_without_echo(tmp_path: Path) -> None:
    config = write_config(tmp_path, 9)
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "pipeline", "token", "set", "-c", str(config)]
    try:
        with subprocess.Popen(
            line, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        ) as process:
            shown = _read_until(ours, b"Access token of account main: ")
            os.write(ours, CANARY.encode() + b"\n")
            shown += _read_until(ours, b"by itself")
            assert process.wait(TIMEOUT_S) == 0
    finally:
        os.close(ours)
        os.close(theirs)
    assert CANARY.encode() not in shown
    assert (tmp_path / "token").read_text() == f"{CANARY}\n"


def _read_until(descriptor: int, words: bytes) -> bytes:
    seen, deadline_s = b"", time.monotonic() + TIMEOUT_S
    while words not in seen:
        assert time.monotonic() < deadline_s, seen
        seen += os.read(descriptor, 4096)
    return seen


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("env:SOME_TOKEN", "account[0].access_token: found env:; expected a file to write to"),
        ("file:nowhere/token", "cannot be written (No such file or directory)"),
    ],
)
def test_a_token_goes_into_a_file_that_can_be_written(
    token: Token, tmp_path: Path, reference: str, told: str
) -> None:
    config = write_config(tmp_path, 9, token=reference)
    done = token("set", "--config", config, said=f"{CANARY}\n")
    assert done.code == 78 and told in done.err
    assert CANARY not in done.err


def test_the_account_must_be_known(token: Token, tmp_path: Path) -> None:
    config = write_config(tmp_path, 9)
    done = token("set", "--config", config, "--account", "other", said="x\n")
    assert done.code == 2 and "--account other: expected one of main" in done.err
    config.write_text(config.read_text() + '[[account]]\nname = "two"\napi_key = "demo2"\n'
                      'url = "ws://127.0.0.1:9"\n')  # fmt: skip
    done = token("set", "--config", config, said="x\n")
    assert done.code == 2 and "no --account: expected one of main, two" in done.err


def test_no_option_takes_a_secret(token: Token) -> None:
    for name in ("login", "set"):
        done = token(name, "--help")
        assert done.code == 0
        assert not {"--token", "--password", "--secret"} & set(done.out.split())
