"""Which messages a conversation holds already: a framework hands back what the server stored with the turn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage

from langchain_letta.history_flows import Asking, Place
from langchain_letta.messages import ANCHOR_KEY, RUN_KEY
from langchain_letta.stored_to_langchain import stored_in
from letta_adapters.client.endpoints import list_messages
from letta_adapters.client.listing import list_in_order_of_time
from letta_adapters.client.run_endpoints import list_run_messages
from letta_adapters.matching import Row
from letta_adapters.stored_turns import TurnGrouping, TurnRows
from letta_adapters.transcript import Anchor, sendable
from letta_adapters.waiting import newest_first
from letta_adapters.wire import ApprovalResponseMessage, AssistantMessage, UserMessage, text_of

__all__ = ["not_held"]

_NEWEST = 100
"""Newest messages among which the turn of an answer without an anchor is looked for."""

_RUN_ROWS = 1000


def not_held(place: Place, messages: Sequence[BaseMessage]) -> Asking[list[BaseMessage]]:
    """The messages that a conversation does not hold.

    It holds what was read from it, answers that are anchored in it or (having lost their anchor: a parser gave the text
    alone) say what one of its newest answers says, and all that was said in the turns of these answers.
    """
    rest = [message for message in messages if not _is_known(place, message)]
    runs = {run_id for message in messages if (run_id := _run_of(place, message)) is not None}
    turns: list[TurnRows] = []
    if any(isinstance(message, AIMessage) and _anchor_of(message) is None for message in rest):
        newest = yield from _newest_turns(place)
        turns = [turn for turn in newest if any(_is_answer_of(message, turn) for message in rest)]
        rest = [message for message in rest if not any(_is_answer_of(message, turn) for turn in turns)]
    rows = [row for turn in turns for row in turn.rows]
    if rest:
        for run_id in runs - {turn.run_id for turn in turns}:
            rows += yield list_run_messages(run_id, limit=_RUN_ROWS, order="asc")
    return [message for message in rest if not _was_said(message, rows)]


def _is_known(place: Place, message: BaseMessage) -> bool:
    return stored_in(message) == place.conversation_id or place.holds(_anchor_of(message))


def _run_of(place: Place, message: BaseMessage) -> str | None:
    """The run that gave an answer here which was not read from here, so what was asked may come with it."""
    anchor = _anchor_of(message)
    return anchor.run_id if anchor is not None and place.holds(anchor) and stored_in(message) is None else None


def _anchor_of(message: BaseMessage) -> Anchor | None:
    """The anchor of an answer, also of one whose end was not seen."""
    if not isinstance(message, AIMessage):
        return None
    metadata = message.response_metadata
    return Anchor.from_metadata(metadata.get(ANCHOR_KEY)) or Anchor.from_metadata(metadata.get(RUN_KEY))


def _newest_turns(place: Place) -> Asking[list[TurnRows]]:
    if place.conversation_id == "default":
        listed = yield list_messages("default", agent_id=place.agent_id, order="desc", limit=_NEWEST)
    else:
        listed = yield list_in_order_of_time(place.conversation_id, place.agent_id, limit=_NEWEST, newest=True)
    turns = TurnGrouping()
    return [*turns.feed(newest_first(listed)[::-1]), *turns.finish()]


def _is_answer_of(message: BaseMessage, turn: TurnRows) -> bool:
    if not isinstance(message, AIMessage) or _anchor_of(message) is not None or not message.text.strip():
        return False
    said = "".join(_texts(row for row in turn.came if isinstance(row, AssistantMessage)))
    return _told(message).strip() == said.strip()


def _was_said(message: BaseMessage, rows: Sequence[Row]) -> bool:
    """Whether a message is in what was said in some turns; a prompt template may have put more words around it."""
    if isinstance(message, SystemMessage):
        return bool(rows)  # whether instructions are sent is for the model's `system_messages` to say
    if isinstance(message, ToolMessage) and message.tool_call_id in _answered(rows):
        return True
    said = _texts(row for row in rows if isinstance(row, (UserMessage, AssistantMessage)))
    return any(_told(message) in text for text in said)


def _answered(rows: Collection[Row]) -> set[str]:
    responses = [row for row in rows if isinstance(row, ApprovalResponseMessage)]
    return {answer.tool_call_id for row in responses for answer in row.approvals or ()}


def _told(message: BaseMessage) -> str:
    """The text as a server stores it."""
    return sendable(str(message.text)).replace("\0", "")


def _texts(rows: Iterable[UserMessage | AssistantMessage]) -> list[str]:
    return [text_of(row.content) for row in rows]
