"""A picture of the table."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

__all__ = ["draw"]

_WIDEST = 200
"""% of a budget."""


def draw(figures: Sequence[Figure], file: Path) -> None:
    """Draw what each figure uses of its budget.

    Raises:
        SystemExit: matplotlib is not installed.
    """
    try:
        matplotlib: Any = import_module("matplotlib")
    except ImportError:
        raise SystemExit("matplotlib is not installed: pip install '.[bench]'") from None
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "letta-adapters", "svg.fonttype": "none", "font.size": 9})
    pyplot: Any = import_module("matplotlib.pyplot")
    shown = sorted((one for one in figures if one.share is not None), key=lambda one: one.id, reverse=True)
    shares = [100 * (one.share or 0.0) for one in shown]
    names = [f"{one.id}  {one.what}" for one in shown]
    picture, axes = pyplot.subplots(figsize=(10, 0.28 * len(shown) + 1), layout="constrained")
    bars = axes.barh(
        names,
        [min(share, _WIDEST) for share in shares],
        color=["#b3443c" if share > 100 else "#3c7d5b" for share in shares],
    )
    axes.bar_label(bars, [f" {one.value:.2f} {one.unit}" for one in shown])
    axes.axvline(100, color="black", linewidth=1)
    axes.set_xlabel(f"% of the budget; the line is all of it, and bars end at {_WIDEST}")
    axes.set_xlim(0, _WIDEST * 1.15)
    axes.spines[["top", "right"]].set_visible(False)
    picture.savefig(file, metadata={"Date": None})
