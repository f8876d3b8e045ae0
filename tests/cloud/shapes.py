"""What is believed of Letta Cloud, each piece in a file of its own that names the page it was read in."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Shape", "shapes"]

Shape = dict[str, Any]

_FOLDER = Path(__file__).parent / "shapes"


@cache
def shapes(*kinds: str) -> dict[str, Shape]:
    """The shapes of some kinds, or all, by their names."""
    read = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(_FOLDER.glob("*.json"))}
    return {name: shape for name, shape in read.items() if not kinds or shape["kind"] in kinds}
