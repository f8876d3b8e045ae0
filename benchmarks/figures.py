"""A figure, its budget, and the table of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

__all__ = ["Figure", "table_of"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Something that was measured.

    Args:
        id: The id of its budget (`docs/performance.md`).
        what: What is compared with what.
        value: The ratio, or the difference in `unit`.
        unit: `x` for a ratio.
        budget: What it must not exceed, or (`at_least`) fall below; `None` where it is only shown.
        at_least: Whether more is better.
    """

    id: str
    what: str
    value: float
    unit: str = "x"
    budget: float | None = None
    at_least: bool = False

    @property
    def share(self) -> float | None:
        """What it uses of its budget: 1 is all of it."""
        if self.budget is None:
            return None
        return self.budget / self.value if self.at_least else self.value / self.budget

    @property
    def verdict(self) -> str:
        """Whether the budget is kept."""
        if self.share is None:
            return ""
        return "kept" if self.share <= 1 else "missed"

    @property
    def bound(self) -> str:
        """The budget in words."""
        if self.budget is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {self.budget:g} {self.unit}"


def table_of(figures: Sequence[Figure]) -> Table:
    """All figures, by id."""
    table = Table("", "what", "measured", "budget", "", box=None)
    for figure in sorted(figures, key=lambda one: one.id):
        style = "red" if figure.verdict == "missed" else "dim" if figure.budget is None else None
        measured = f"{figure.value:.2f} {figure.unit}"
        table.add_row(figure.id, figure.what, measured, figure.bound, figure.verdict, style=style)
    return table
