"""Secrets: a wrapper that never shows its value, and references that say where one is kept.

Floor 1. A config holds references only: `file:PATH` (permissions 0600, read again at each use,
so that a token can be swapped under a running instance) or `env:NAME`. `key:` is our own
spelling for the simulated exchange, whose token is the API key. Every `Secret` that is made is
also known to `redact`, which the log handlers run over each line.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import stat
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Final, NamedTuple, NoReturn
from urllib.parse import quote

from pipeline.core.errors import SecretError

HIDDEN: Final = "***"
SECRET_BYTES_MAX: Final = 4096

# Shorter ones would blank out ordinary words; no broker's token is that short.
_REDACTED_LENGTH_MIN: Final = 6
_REDACTED_COUNT_MAX: Final = 256
_known: OrderedDict[str, None] = OrderedDict()

# A token that we never read ourselves, in an address or in JSON: of another process, say.
_NAMED: Final = re.compile(r"""((?:access|request)_token(?:=|["']\s*:\s*["']))[^&\s"']+""")


class Secret:
    """A value that `repr`, `str`, formatting and pickling do not give away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        _remember(value)

    def reveal(self) -> str:
        """Return the value; call it where it goes on the wire, and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, format_spec: str) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: hand over its reference instead")


def _remember(value: str) -> None:
    for spelling in {value, quote(value, safe="")}:
        if len(spelling) >= _REDACTED_LENGTH_MIN:
            _known[spelling] = None
            _known.move_to_end(spelling)
    while len(_known) > _REDACTED_COUNT_MAX:
        _known.popitem(last=False)


def redact(text: str) -> str:
    """Return the text with every secret of this process, and what is named so, as `***`."""
    # The longest first: one secret may begin with another one.
    for value in sorted(_known, key=len, reverse=True):
        if value in text:
            text = text.replace(value, HIDDEN)
    return _NAMED.sub(rf"\1{HIDDEN}", text) if "_token" in text else text


class SecretReading(NamedTuple):
    """A secret and the identity of the place it came from (never 0)."""

    secret: Secret
    identity: int


class SecretReference(NamedTuple):
    """Where a secret is kept: `scheme` is file, env or key."""

    scheme: str
    location: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.location}"

    def read(self) -> SecretReading:
        """Read it now; raise SecretError with what to do when that cannot be done.

        The identity is taken before the contents: a file changed in between is read again by
        whoever compares identities, never mistaken for the old one.
        """
        if self.scheme == "file":
            return _read_file(Path(self.location))
        if self.scheme == "env":
            return _read_environment(self.location)
        return SecretReading(Secret(self.location), _identity("key", self.location))

    def identity(self) -> int:
        """Return the identity without reading the contents; 0 when there is nothing there."""
        if self.scheme == "file":
            try:
                return _file_identity(Path(self.location).stat())
            except OSError:
                return 0
        if self.scheme == "env" and self.location not in os.environ:
            return 0
        return _identity(self.scheme, self.location)


def parse_reference(text: str, folder: Path) -> SecretReference:
    """Read `file:PATH` (relative to `folder`) or `env:NAME`; raise ValueError for anything else."""
    scheme, colon, location = text.partition(":")
    if not colon or not location or scheme not in ("file", "env"):
        raise ValueError("neither file: nor env:")
    if scheme == "file":
        try:
            location = str(folder / Path(location).expanduser())
        except RuntimeError:
            raise ValueError(f"{location!r}: there is no such user") from None
    elif not location.isidentifier():
        raise ValueError(f"{location!r} is no name of an environment variable")
    return SecretReference(scheme, location)


def store(path: Path, secret: Secret) -> SecretReference:
    """Write a secret to a file of mode 0600, in one step, and return its reference."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secret.reveal() + "\n")
        Path(temporary).replace(path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    return SecretReference("file", str(path))


def _read_file(path: Path) -> SecretReading:
    try:
        # Without blocking: a FIFO would wait for a writer before it can be refused.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            _refuse_what_others_can_read(path, status)
            content = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise SecretError(
            f"the secret file {path} cannot be read ({error.strerror}): "
            f"write the token to it and run: chmod 600 {path}"
        ) from None
    return SecretReading(parse_secret(content, str(path)), _file_identity(status))


def _refuse_what_others_can_read(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"the secret file {path} is not a regular file")
    if status.st_mode & 0o077:
        raise SecretError(
            f"the secret file {path} has mode {stat.S_IMODE(status.st_mode):04o}, so others can "
            f"read it; expected 0600: run: chmod 600 {path}"
        )


def _read_environment(name: str) -> SecretReading:
    value = os.environ.get(name)
    if value is None:
        raise SecretError(f"the environment variable {name} is not set: export {name}=...")
    return SecretReading(parse_secret(value.encode(), f"${name}"), _identity("env", name))


def parse_secret(content: bytes, place: str) -> Secret:
    """Return the one word that `content` is; SecretError, naming the place, for anything else."""
    if len(content) > SECRET_BYTES_MAX:
        raise SecretError(f"{place} holds more than {SECRET_BYTES_MAX} bytes: that is no token")
    try:
        value = content.decode("ascii").strip()
    except UnicodeDecodeError:
        value = "\0"
    if not value:
        raise SecretError(f"{place} is empty: write the token to it")
    if not value.isprintable() or " " in value:
        raise SecretError(f"{place} must hold one line of printable ASCII without blanks")
    return Secret(value)


def _file_identity(status: os.stat_result) -> int:
    return _identity(str(status.st_ino), str(status.st_mtime_ns))


def _identity(*parts: str) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
