"""Parts of a turn in, stored messages out: the way back from what `Assembly` makes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from typing_extensions import assert_never

from letta_adapters.events import (
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ServerToolCall,
    ServerToolResult,
    Text,
    TurnPart,
)
from letta_adapters.matching import Row
from letta_adapters.wire import (
    ApprovalRequestMessage,
    AssistantMessage,
    HiddenReasoningMessage,
    ReasoningMessage,
    ToolCall,
    ToolCallMessage,
    ToolReturn,
    ToolReturnMessage,
    text_of,
)

__all__ = ["rows_from_parts", "with_results"]


def rows_from_parts(
    parts: Sequence[TurnPart], *, id: str, run_id: str | None = None, name: str | None = None
) -> list[Row]:
    """Write parts as stored messages; an `Assembly` that is fed with them has these parts.

    Which step of the agent brought which part is not told by the parts, so all rows have one id, and otids of their
    own. Calls, and results, that stand next to each other share a row.

    Args:
        parts: What came, in order.
        id: The id of the message.
        run_id: Its run.
        name: Who speaks.
    """
    rows: list[Row] = []
    for group in _groups(parts):
        otid = str(uuid5(NAMESPACE_URL, f"letta-adapters:row:{id}:{len(rows)}"))
        rows.append(_row(group, {"id": id, "otid": otid, "run_id": run_id, "name": name}))
    return rows


def with_results(row: ToolReturnMessage, results: Sequence[ToolReturn]) -> ToolReturnMessage:
    """Put results into a row: all of them, and the first in the fields at the top, where a server repeats it."""
    first = results[0]
    given = first.tool_return
    return row.model_copy(
        update={
            "tool_call_id": first.tool_call_id,
            "tool_return": given if isinstance(given, str) else text_of(given),
            "status": first.status,
            "stdout": first.stdout,
            "stderr": first.stderr,
            "tool_returns": list(results),
        }
    )


def _groups(parts: Sequence[TurnPart]) -> list[list[TurnPart]]:
    """Calls and results as they share rows; anything else is a row of its own."""
    groups: list[list[TurnPart]] = []
    for kind, group in groupby(parts, type):
        alike = list(group)
        shared = issubclass(kind, (ServerToolCall, ServerToolResult, PendingCall))
        groups.extend([alike] if shared else [[part] for part in alike])
    return groups


def _row(group: Sequence[TurnPart], shared: dict[str, Any]) -> Row:
    first = group[0]
    match first:
        case Text(text=text):
            return AssistantMessage(**shared, content=text)
        case Reasoning(text=text, signature=signature):
            source = "reasoner_model" if signature else "non_reasoner_model"
            return ReasoningMessage(**shared, reasoning=text, signature=signature, source=source)
        case HiddenReasoning(state=state, text=text):
            return HiddenReasoningMessage(**shared, state=state, hidden_reasoning=text)
        case ServerToolCall():
            calls = _calls(group)
            return ToolCallMessage(**shared, tool_call=calls[0], tool_calls=calls)
        case PendingCall():
            calls = _calls(group)
            return ApprovalRequestMessage(**shared, tool_call=calls[0], tool_calls=calls)
        case ServerToolResult():
            results = [_result(part) for part in group if isinstance(part, ServerToolResult)]
            empty = ToolReturnMessage(**shared, tool_call_id="", tool_return="", status="success")
            return with_results(empty, results)
        case Notice():
            return first.message
        case _:
            assert_never(first)


def _calls(group: Sequence[TurnPart]) -> list[ToolCall]:
    return [
        ToolCall(tool_call_id=part.tool_call_id, name=part.name, arguments=part.arguments)
        for part in group
        if isinstance(part, (ServerToolCall, PendingCall))
    ]


def _result(part: ServerToolResult) -> ToolReturn:
    return ToolReturn(
        tool_call_id=part.tool_call_id,
        tool_return=part.content,
        status=part.status,
        stdout=part.stdout,
        stderr=part.stderr,
    )
