"""The page's files: which are served, and what a browser is told of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.requests import Request

from pipeline.services.control.api.page import Page


def _asked(tag: str) -> Request:
    headers = [(b"if-none-match", tag.encode())]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


@pytest.fixture
def page(tmp_path: Path) -> Page:
    (tmp_path / "index.html").write_text("<p>screen</p>")
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "chart.js").write_text("'use strict'")
    (tmp_path / "module.py").write_text("import os")
    return Page(tmp_path)


def test_files_of_a_page_are_served_and_no_others(page: Page) -> None:
    assert set(page.names) == {"index.html", "part/chart.js"}
    assert page.answer("index.html").body == b"<p>screen</p>"
    with pytest.raises(KeyError):
        page.answer("module.py")


def test_what_has_not_changed_is_not_sent_again(page: Page) -> None:
    first = page.answer("part/chart.js")
    assert first.status_code == 200 and first.headers["cache-control"] == "no-cache"
    again = page.answer("part/chart.js", _asked(first.headers["etag"]))
    assert again.status_code == 304 and again.body == b""
    assert page.answer("part/chart.js", _asked('"other"')).status_code == 200


def test_a_build_without_a_screen_says_so(tmp_path: Path) -> None:
    assert b"no screen" in page_text(Page(tmp_path / "none"))


def page_text(page: Page) -> bytes:
    return bytes(page.answer("index.html").body)
