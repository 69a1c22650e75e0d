"""What a key looks like: `id.secret`. Floor 4; pure but for the random numbers.

The id names the row and is no secret. The secret is 256 bits from the system, so that a plain
SHA-256 of the whole is as good as a slow hash of a password would be: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final, NamedTuple

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
#: Longer texts are not looked at any further: no key of ours has more.
_LENGTH_MAX: Final = 256
_KEY_ID: Final = re.compile(rf"[0-9a-f]{{{2 * _ID_BYTES}}}")


class KeyText(NamedTuple):
    """What is looked up, and what is compared."""

    key_id: str
    digest: bytes


def new_key() -> str:
    """Return a key that nobody has."""
    return f"{secrets.token_hex(_ID_BYTES)}.{secrets.token_hex(_SECRET_BYTES)}"


def read_key(text: str) -> KeyText:
    """Return the id of a key and the digest of all of it.

    Whatever is no key gets the id "", which no row has, and a digest all the same: a caller has
    one path for every text.
    """
    key_id = text.partition(".")[0]
    if len(text) > _LENGTH_MAX or not _KEY_ID.fullmatch(key_id):
        key_id = ""
    bounded = text[:_LENGTH_MAX].encode("utf-8", "replace")
    return KeyText(key_id, hashlib.sha256(bounded).digest())


def is_key_id(text: str) -> bool:
    """Return whether a text has the form of a key's id."""
    return _KEY_ID.fullmatch(text) is not None
