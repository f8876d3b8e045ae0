"""Snapshots: what an example becomes, in a file that a reader of a change sees.

`RENEW_SNAPSHOTS=1` writes them anew, to be read before they are committed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["check"]


def check(path: Path, told: Mapping[str, Any]) -> None:
    """Compare with the file, or write it where that is asked for."""
    if os.environ.get("RENEW_SNAPSHOTS"):
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == told
