"""Keys: made once, kept as digests, listed, revoked, verified."""

from __future__ import annotations

from pathlib import Path

from pipeline.services.keys import KeyStore, Principal


def test_a_key_lets_in_until_it_is_revoked(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "a" / "keys.sqlite", {"main": "asha"})
    text = store.add("screen", "main")
    (info,) = store.list()
    assert store.verify(text) == Principal(info.key_id, "screen", "main", "asha")
    assert store.verify(text[:-1] + "x") is None
    assert store.revoke(info.key_id)
    assert store.verify(text) is None and store.list() == ()
    assert not store.revoke(info.key_id)
