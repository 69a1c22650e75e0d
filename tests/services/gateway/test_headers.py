"""Origin and Host."""

from __future__ import annotations

from pipeline.services.gateway.headers import page_origins, refuse_headers


def test_pages_of_strangers_are_refused_and_programs_are_not() -> None:
    ours = page_origins("127.0.0.1", 8080)
    for origin, fine in (
        (None, True),
        ("http://localhost:8080", True),
        ("https://e.example", False),
    ):
        refusal = refuse_headers(origin=origin, host="127.0.0.1:8765", origins=ours, names=())
        assert (refusal is None) == fine
