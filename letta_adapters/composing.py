"""Stored messages out of what a framework's messages say, and out of the rows that they were read from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from letta_adapters.disassembly import with_results
from letta_adapters.matching import Row
from letta_adapters.wire import (
    Approval,
    ApprovalResponseMessage,
    Message,
    ToolReturn,
    ToolReturnMessage,
    Unknown,
    returns_of,
)

__all__ = ["Telling", "as_read", "rows_of"]

_SHARED = 200
"""Rows back that another message of the same turn may be made of, too: the results of calls that ran side by side."""

_ORIGIN = frozenset({"id", "otid", "date", "run_id", "step_id", "seq_id", "sender_id", "is_err", "message_type"})
"""Fields that a framework's message does not say; of one that was changed they stay as they were."""

_ROWS: TypeAdapter[list[Row]] = TypeAdapter(list[Message])


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What one message of a framework says, and where it comes from.

    Args:
        says: Makes the rows of what it says.
        read_from: The rows that it was read from, as JSON; `None` for a message that no server gave.
        changed: Whether it says something else by now.
    """

    says: Callable[[], Sequence[Row]]
    read_from: Sequence[Any] | None = None
    changed: bool = False


def as_read(row: Row) -> dict[str, Any]:
    """A row as JSON that is read as the same row; in one that a program made its types are defaults that nobody set."""
    from_server = isinstance(row, Unknown) or "message_type" in row.model_fields_set
    return row.model_dump(mode="json", exclude_unset=from_server, exclude_none=not from_server)


def rows_of(tellings: Iterable[Telling]) -> list[Row]:
    """Give the rows of messages, in order: each once, as it was stored, but for what was changed since.

    Results of calls that were made side by side may be messages of their own that share rows; made out of what they
    say they become one row, since a server wants all answers at once.
    """
    rows: list[Row] = []
    origins: list[Any] = []  # what each row was read from
    for telling in tellings:
        if telling.read_from is None:
            made = _joined(rows, origins, list(telling.says()))
            rows.extend(made)
            origins.extend([None] * len(made))
            continue
        begin = len(rows)
        places = [_place(rows, origins, raw) for raw in telling.read_from]
        if telling.changed:
            _revise(rows, origins, places, begin, list(telling.says()))
    return rows


def _place(rows: list[Row], origins: list[Any], raw: Any) -> int:
    """Where a row is; it is added unless another message brought it."""
    for place in range(len(rows) - 1, max(len(rows) - 1 - _SHARED, -1), -1):
        if origins[place] == raw:
            return place
    rows.extend(_ROWS.validate_python([raw]))
    origins.append(raw)
    return len(rows) - 1


def _joined(rows: list[Row], origins: Sequence[Any], made: list[Row]) -> list[Row]:
    """Put answers to calls to those that were made right before; gives what is left."""
    before = rows[-1] if rows and origins[-1] is None else None
    after = made[0] if made else None  # an answer without a word makes no row
    if not isinstance(before, ApprovalResponseMessage) or not isinstance(after, ApprovalResponseMessage):
        return made
    rows[-1] = before.model_copy(update={"approvals": [*(before.approvals or ()), *(after.approvals or ())]})
    return made[1:]


def _revise(rows: list[Row], origins: list[Any], places: Sequence[int], begin: int, says: list[Row]) -> None:
    """Let the rows of a message, of which those from `begin` on are its own, say what it says by now."""
    if says and isinstance(says[0], ApprovalResponseMessage):
        answers = {answer.tool_call_id: answer for answer in says[0].approvals or ()}
        for place in places:
            rows[place] = _answered(rows[place], answers)
        return
    own = rows[begin:]
    if len(own) == len(says) == 1 and type(own[0]) is type(says[0]):
        rows[begin] = _with_content(own[0], says[0])
        return
    date = next((row.date for row in own if not isinstance(row, Unknown)), None)
    rows[begin:] = [row if isinstance(row, Unknown) else row.model_copy(update={"date": date}) for row in says]
    origins[begin:] = [None] * len(says)


def _with_content(old: Row, new: Row) -> Row:
    if isinstance(old, Unknown) or isinstance(new, Unknown):
        return new
    said = {name: getattr(new, name) for name in type(new).model_fields if name not in _ORIGIN}
    return old.model_copy(update=said)


def _answered(row: Row, answers: Mapping[str, Approval]) -> Row:
    """Put other answers in the place of those that a row has to the same calls."""
    if isinstance(row, ApprovalResponseMessage):
        return row.model_copy(update={"approvals": [answers.get(a.tool_call_id, a) for a in row.approvals or ()]})
    if isinstance(row, ToolReturnMessage):
        results = [(back, answers.get(back.tool_call_id)) for back in returns_of(row)]
        return with_results(row, [new if isinstance(new, ToolReturn) else old for old, new in results])
    return row
