"""Links from one page of the documentation to another lead to files and headings that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import DOCS

ROOT = DOCS.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")), *sorted((ROOT / "examples").glob("*.md"))]


def headings_of(page: str) -> set[str]:
    """The headings of a page as links name them."""
    titles: list[str] = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def leads_somewhere(page: Path, file: str, heading: str) -> bool:
    target = page.parent / file if file else page
    return target.exists() and (not heading or heading in headings_of(target.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    links: list[tuple[str, str]] = re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text())
    assert [link for link in links if not leads_somewhere(page, *link)] == []


def test_there_are_links_to_look_at() -> None:
    assert {"README.md", "concepts.md", "reliability.md"} <= {page.name for page in PAGES}
