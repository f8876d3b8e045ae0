"""The rows of a list, turn by turn: what was said in a request, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from letta_adapters.alignment import is_compiled_prompt
from letta_adapters.matching import Row, is_input, is_the_servers
from letta_adapters.wire import ApprovalResponseMessage, ApprovalReturn, ToolReturnMessage, Unknown, returns_of

__all__ = ["TurnGrouping", "TurnRows"]


@dataclass(frozen=True, kw_only=True)
class TurnRows:
    """The rows of one turn, in order.

    Args:
        rows: What was said, what came back, and the notes that the server left behind it.
        run_id: Its run; `None` for what no run made: the compiled prompt, messages that were imported.
    """

    rows: Sequence[Row]
    run_id: str | None = None

    @property
    def said(self) -> Sequence[Row]:
        """What the request said: all up to its last message that is surely no answer, seeds included."""
        return self.rows[: self._answered_from]

    @property
    def came(self) -> Sequence[Row]:
        """What came of it: the answer, results of the server's own tools, notes."""
        return self.rows[self._answered_from :]

    @cached_property
    def own_results(self) -> frozenset[str]:
        """Ids of the calls that the request answers with results or denials; an approved one the server runs."""
        return frozenset(
            answer.tool_call_id
            for row in self.rows
            if isinstance(row, ApprovalResponseMessage)
            for answer in row.approvals or ()
            if not (isinstance(answer, ApprovalReturn) and answer.approve)
        )

    def is_echo(self, row: Row) -> bool:
        """Whether a row has nothing but results that were sent."""
        own = self.own_results
        return isinstance(row, ToolReturnMessage) and all(result.tool_call_id in own for result in returns_of(row))

    @cached_property
    def _answered_from(self) -> int:
        for position in range(len(self.rows) - 1, -1, -1):
            if is_input(self.rows[position]) or self.is_echo(self.rows[position]):
                return position + 1
        return 0


class TurnGrouping:
    """Makes turns out of rows that come oldest first; it holds no more than the turn that is not over."""

    def __init__(self) -> None:
        self._open: list[Row] = []
        self._run_id: str | None = None

    def feed(self, rows: Sequence[Row]) -> list[TurnRows]:
        """Take more rows; the turns that are over."""
        turns: list[TurnRows] = []
        for row in rows:
            if not self._belongs(row):
                turns.extend(self.finish())
                self._run_id = row.run_id
            self._open.append(row)
        return turns

    def finish(self) -> list[TurnRows]:
        """The turn that was not over, if there is one."""
        turns = [TurnRows(rows=tuple(self._open), run_id=self._run_id)] if self._open else []
        self._open, self._run_id = [], None
        return turns

    def _belongs(self, row: Row) -> bool:
        if not self._open or is_compiled_prompt(self._open[-1]):
            return False
        if row.run_id is not None or self._run_id is not None:
            # A summary that was asked for has no run; it goes with the answer that it stands behind.
            return row.run_id == self._run_id or (row.run_id is None and _is_note(row))
        return not is_input(row) or is_input(self._open[-1])


def _is_note(row: Row) -> bool:
    return isinstance(row, Unknown) or is_the_servers(row)
