"""The form of keys."""

from __future__ import annotations

import hashlib

import pytest

from pipeline.services.keys.text import is_key_id, new_key, read_key


def test_a_key_is_an_id_and_256_random_bits() -> None:
    text = new_key()
    key_id, secret = text.split(".")
    assert is_key_id(key_id) and len(bytes.fromhex(secret)) == 32
    assert text != new_key()
    assert read_key(text) == (key_id, hashlib.sha256(text.encode()).digest())


@pytest.mark.parametrize(
    "text", ["", ".", "x.y", "0123456789ab" * 90, "A123456789ab.x", "0123456789ab\n.x", "\ud800.x"]
)
def test_what_is_no_key_has_no_id_and_a_digest_all_the_same(text: str) -> None:
    key_id, digest = read_key(text)
    assert key_id == "" and len(digest) == 32
