"""Links from one page of the documentation to another."""

from __future__ import annotations

import re

from tests.pages import DOCS


def broken_links(name: str) -> list[str]:
    """Links of a page to files or headings that are not there.

    Args:
        name: The page, as a path from `docs/`.
    """
    page = DOCS / name
    links: list[tuple[str, str]] = re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text())
    return [
        f"{file}#{heading}"
        for file, heading in links
        if not file.startswith("http") and not _leads_somewhere(name, file, heading)
    ]


def _leads_somewhere(name: str, file: str, heading: str) -> bool:
    target = (DOCS / name).parent / file if file else DOCS / name
    return target.exists() and (not heading or heading in _headings(target.read_text()))


def _headings(page: str) -> set[str]:
    """The headings of a page as links name them."""
    titles: list[str] = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
