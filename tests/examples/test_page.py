"""The page of the examples names each of them."""

from __future__ import annotations

import re

from tests.examples.running import EXAMPLES


def test_every_example_is_on_the_page_and_nothing_else() -> None:
    named = re.findall(r"^\| `(\w+\.py)` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in EXAMPLES.glob("*.py"))
