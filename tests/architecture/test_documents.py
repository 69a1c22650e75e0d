"""What README and docs/ point at is there: files, tests, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_PATH = re.compile(r"\b((?:tests|benchmarks|examples|pipeline|ext|scripts)/[\w./-]*\w/?)")


def pointers(document: Path) -> Iterator[tuple[str, Path]]:
    """Yield what a document names, and where that would be."""
    text = document.read_text()
    for link in _LINK.findall(text):
        yield link, document.parent / link
    for path in _PATH.findall(text):
        yield path, ROOT / path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_points_at_exists(document: Path) -> None:
    missing = sorted({name for name, place in pointers(document) if not place.exists()})
    assert missing == []
