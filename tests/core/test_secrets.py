"""Secrets stay hidden, references are read when asked, identities tell a new token."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from pipeline.core import secrets
from pipeline.core.errors import SecretError
from pipeline.core.secrets import Secret, SecretReference, parse_reference, redact, store

CANARY = "cAnArYtOkEn/0123456789+abcdef"


@pytest.fixture
def reference(tmp_path: Path) -> SecretReference:
    return store(tmp_path / "token", Secret(CANARY))


def test_no_way_of_printing_shows_it() -> None:
    secret = Secret(CANARY)
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", f"{[secret]}"):
        assert CANARY not in text
    assert secret.reveal() == CANARY
    assert secret == Secret(CANARY) and hash(secret) == hash(Secret(CANARY))
    assert secret != Secret("other")
    assert secret and not Secret("")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /back?request_token=someoneelses&a=1", "GET /back?request_token=***&a=1"),
        ("GET /?api_key=k&access_token=someone%2Felses HTTP/1.1",
         "GET /?api_key=k&access_token=*** HTTP/1.1"),
        ('{"access_token": "someoneelses", "a": 1}', '{"access_token": "***", "a": 1}'),
        ("account[0].access_token: found a value", "account[0].access_token: found a value"),
    ],
)  # fmt: skip
def test_redaction_hides_what_is_called_a_token(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_redaction_knows_every_secret_also_in_an_address() -> None:
    Secret(CANARY)
    text = f"wss://h?access_token={CANARY.replace('/', '%2F').replace('+', '%2B')} {CANARY}"
    assert redact(text) == "wss://h?access_token=*** ***"


def test_short_values_do_not_blank_out_words() -> None:
    Secret("demo")
    assert redact("demo") == "demo"


def test_memory_of_secrets_is_bounded() -> None:
    for number in range(1000):
        Secret(f"token-number-{number}")
    assert redact("token-number-999") == "***"
    assert len(secrets._known) <= 256


def test_file_is_written_for_its_owner_alone(reference: SecretReference) -> None:
    path = Path(reference.location)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["token"]
    assert reference.read().secret.reveal() == CANARY


def test_identity_changes_with_the_file(reference: SecretReference) -> None:
    before = reference.read().identity
    assert before == reference.identity() == reference.read().identity != 0
    store(Path(reference.location), Secret(CANARY))
    assert reference.identity() not in (0, before)


def test_identity_of_nothing_is_zero(tmp_path: Path) -> None:
    assert SecretReference("file", str(tmp_path / "none")).identity() == 0
    assert SecretReference("env", "PIPELINE_TEST_NOT_SET").identity() == 0


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = parse_reference("env:PIPELINE_TEST_TOKEN", Path())
    with pytest.raises(SecretError, match="export PIPELINE_TEST_TOKEN="):
        reference.read()
    monkeypatch.setenv("PIPELINE_TEST_TOKEN", CANARY)
    assert reference.read().secret.reveal() == CANARY
    assert reference.identity() == reference.read().identity


def test_key_of_the_simulator() -> None:
    reading = SecretReference("key", "demo").read()
    assert (reading.secret.reveal(), reading.identity != 0) == ("demo", True)


def test_paths_are_relative_to_the_config(tmp_path: Path) -> None:
    assert parse_reference("file:a/b", tmp_path).location == str(tmp_path / "a" / "b")


@pytest.mark.parametrize("text", ["", "file:", CANARY, "http:x", "env:1 2", "file:~nosuchuser/t"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        parse_reference(text, Path())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_what_others_can_read_is_refused(reference: SecretReference, mode: int) -> None:
    Path(reference.location).chmod(mode)
    with pytest.raises(SecretError, match="chmod 600") as caught:
        reference.read()
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two words", b"a\nb", b"\xff\xfe", b"x" * 5000, b"a\x00b"]
)
def test_what_is_no_token_is_refused(reference: SecretReference, content: bytes) -> None:
    Path(reference.location).write_bytes(content)
    with pytest.raises(SecretError):
        reference.read()


def test_trailing_newline_is_not_part_of_it(reference: SecretReference) -> None:
    Path(reference.location).write_bytes(CANARY.encode() + b"\r\n")
    assert reference.read().secret.reveal() == CANARY


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token", 0o600)
    with pytest.raises(SecretError, match="not a regular file"):
        SecretReference("file", str(tmp_path / "token")).read()


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretError):
        SecretReference("file", str(tmp_path)).read()


def test_a_secret_that_begins_with_another_leaves_no_rest() -> None:
    Secret("abcdefgh")
    Secret("abcdefgh-tomorrow")
    assert redact("abcdefgh-tomorrow abcdefgh") == "*** ***"
