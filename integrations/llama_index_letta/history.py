"""Messages as a conversation stores them, translated to LlamaIndex's.

| stored | in LlamaIndex |
|---|---|
| `user_message` | role `user`: texts and images |
| `assistant_message` | role `assistant`, one for each step of the agent: its text, |
| `reasoning_message`, `hidden_reasoning_message` | … its thinking blocks, |
| `tool_call_message`, `approval_request_message` | … and its tool-call blocks |
| `tool_return_message`, `approval_response_message` | role `tool`, one for each call; `is_error` where it failed |
| `system_message`, `summary_message`, `event_message`, any type not known | role `system` |

What a self-hosted server packs into a `user_message` by itself is no user's, so it has the role `system`, too. Every
message has the rows that it was made of in `additional_kwargs["letta"]`: whole, so nothing is lost.
`letta_from_llama_index` is the way back.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Sequence
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage, ContentBlock, MessageRole, TextBlock, ThinkingBlock
from llama_index.core.base.llms.types import ToolCallBlock as CallBlock

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.listing import LEAST_PAGE, Page, id_of, pages_of
from letta_adapters.composing import as_read
from letta_adapters.matching import Row, is_the_servers
from letta_adapters.system_text import digest_of
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    ApprovalReturn,
    AssistantMessage,
    EventMessage,
    HiddenReasoningMessage,
    ReasoningMessage,
    SummaryMessage,
    SystemMessage,
    ToolCallMessage,
    ToolReturn,
    ToolReturnMessage,
    Unknown,
    UserMessage,
    calls_of,
    returns_of,
)
from llama_index_letta.messages import LETTA_KEY, blocks_from_content, tool_kwargs

__all__ = ["StoredToLlamaIndex", "checked_page_size", "llama_index_from_letta", "read_history", "said_by"]

_INSTRUCTIONS = frozenset({"system_message"})
"""What is left out unless it is asked for: instructions are the agent's or the program's, and no part of a dialogue."""

_Answer = ToolReturn | ApprovalReturn
_OfAStep = AssistantMessage | ReasoningMessage | HiddenReasoningMessage | ToolCallMessage | ApprovalRequestMessage


def read_history(
    conversation_id: str, agent_id: str, *, page_size: int, include: Collection[str] | None
) -> Generator[Endpoint[Any] | list[ChatMessage], Any, None]:
    """Yield what is to be asked for, and the messages of a conversation, some at a time, oldest first.

    Raises:
        NotFound: The conversation is not there.
        ProtocolError: The server does not go on behind what it gave, but begins again.
    """
    translate = StoredToLlamaIndex(conversation_id=conversation_id, agent_id=agent_id, include=include)
    pages = pages_of(conversation_id, agent_id, page_size=page_size)
    answer: Any = None
    try:
        while True:
            step = pages.send(answer)
            answer = None
            if isinstance(step, Page):
                yield translate.feed(step.rows)
            else:
                answer = yield step
    except StopIteration:
        pass
    yield translate.finish()


def checked_page_size(page_size: int) -> int:
    """Check how many messages a page is to have.

    Raises:
        ValueError: It is too small to tell what was compacted.
    """
    if page_size < LEAST_PAGE:
        raise ValueError(f"`page_size` must be at least {LEAST_PAGE}, not {page_size}.")
    return page_size


def llama_index_from_letta(rows: Sequence[Row], *, conversation_id: str, agent_id: str) -> list[ChatMessage]:
    """Translate stored messages, such as `conversations.messages.list` gives or a file of them has.

    An engine's `chat_history` reads a conversation from its server; this is for rows that are here already. A step of
    the agent becomes one message, instructions are among the others, and `letta_from_llama_index` is the way back.

    Args:
        rows: The messages, oldest first.
        conversation_id: The conversation that they are of.
        agent_id: Its agent.

    Example:
        ```python
        from letta_adapters.wire import AssistantMessage, UserMessage
        from llama_index_letta import llama_index_from_letta

        rows = [UserMessage(id="message-1", content="Hello"), AssistantMessage(id="message-2", content="Hello, Ann.")]
        for message in llama_index_from_letta(rows, conversation_id="conv-1", agent_id="agent-1"):
            print(message.role.value, message.content)
        ```
    """
    include = {row.message_type for row in rows}
    translate = StoredToLlamaIndex(conversation_id=conversation_id, agent_id=agent_id, include=include)
    return [*translate.feed(rows), *translate.finish()]


def said_by(message: ChatMessage) -> str:
    """A digest of what a message says; what it was made of is no part of that."""
    kwargs = {name: value for name, value in message.additional_kwargs.items() if name != LETTA_KEY}
    blocks = [block.model_dump(mode="json", exclude_none=True) for block in message.blocks]
    return digest_of(json.dumps([message.role.value, blocks, kwargs], sort_keys=True, default=str))


class StoredToLlamaIndex:
    """Translates rows that come oldest first; it holds no more than the message that is not over.

    Args:
        conversation_id: The conversation that they were read from.
        agent_id: Its agent.
        include: Types of the rows to give, as the server names them; `None` for all but `system_message`.
    """

    def __init__(self, *, conversation_id: str, agent_id: str, include: Collection[str] | None = None) -> None:
        self._place = {"agent_id": agent_id, "conversation_id": conversation_id}
        self._include = frozenset(include) if include is not None else None
        self._step: list[_OfAStep] = []
        self._answers: ApprovalResponseMessage | None = None
        self._tools: dict[str, str] = {}  # names by the ids of calls that were not answered yet

    def feed(self, rows: Sequence[Row]) -> list[ChatMessage]:
        """Take more rows; the messages that are over."""
        return [message for row in rows if self._wants(row) for message in self._take(row)]

    def finish(self) -> list[ChatMessage]:
        """The message that was not over, if there is one."""
        return [*self._end_step(), *self._end_answers()]

    def _wants(self, row: Row) -> bool:
        if self._include is None:
            return row.message_type not in _INSTRUCTIONS
        return row.message_type in self._include

    def _take(self, row: Row) -> list[ChatMessage]:
        match row:
            case (
                AssistantMessage()
                | ReasoningMessage()
                | HiddenReasoningMessage()
                | ToolCallMessage()
                | ApprovalRequestMessage()
            ):
                begun = bool(self._step) and self._step[-1].id == row.id
                over = [] if begun else self.finish()
                self._step.append(row)
                return over
            case ApprovalResponseMessage():
                over = self.finish()
                self._answers = row
                return over
            case ToolReturnMessage():
                return [*self._end_step(), *self._results(row)]
            case _:
                return [*self.finish(), self._alone(row)]

    # A step of the agent.

    def _end_step(self) -> list[ChatMessage]:
        rows, self._step = self._step, []
        if not rows:
            return []
        calls = [call for row in rows if isinstance(row, ApprovalRequestMessage) for call in calls_of(row)]
        self._tools.update(_names(rows))
        known = {
            "run_id": rows[-1].run_id,
            "message_id": rows[-1].id,
            "pending": [{"tool_call_id": call.tool_call_id, "name": call.name} for call in calls],
        }
        blocks = [block for row in rows for block in _blocks(row)]
        return [self._message(MessageRole.ASSISTANT, blocks, rows, known=known, kwargs=_named(rows[0].name))]

    # Results.

    def _results(self, row: ToolReturnMessage) -> list[ChatMessage]:
        """What came back of calls; where the client answered them, that row goes with it."""
        answers, self._answers = self._answers, None
        rows: list[Row] = [row] if answers is None else [answers, row]
        back = {one.tool_call_id: one for one in returns_of(row)}
        others = [one for one in _approvals(answers) if one.tool_call_id not in back]
        return [self._result(one, rows) for one in [*back.values(), *others]]

    def _end_answers(self) -> list[ChatMessage]:
        answers, self._answers = self._answers, None
        if answers is None:
            return []
        made = [self._result(one, [answers]) for one in _approvals(answers)]
        return made or [self._message(MessageRole.TOOL, [TextBlock(text=answers.reason or "")], [answers])]

    def _result(self, answer: _Answer, rows: Sequence[Row]) -> ChatMessage:
        if isinstance(answer, ToolReturn):
            blocks, failed = blocks_from_content(answer.tool_return), answer.status == "error"
        else:
            blocks, failed = [TextBlock(text=answer.reason or "")], not answer.approve
        name = self._tools.pop(answer.tool_call_id, None)
        told = {"tool_call_id": answer.tool_call_id, **_named(name), **({"is_error": True} if failed else {})}
        return self._message(MessageRole.TOOL, blocks, rows, kwargs=told)

    # Everything else.

    def _alone(self, row: Row) -> ChatMessage:
        if isinstance(row, UserMessage) and not is_the_servers(row):
            return self._message(MessageRole.USER, blocks_from_content(row.content), [row], kwargs=_named(row.name))
        text = _told(row)
        return self._message(MessageRole.SYSTEM, [TextBlock(text=text)] if text else [], [row])

    def _message(
        self,
        role: MessageRole,
        blocks: Sequence[ContentBlock],
        rows: Sequence[Row],
        *,
        known: dict[str, Any] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> ChatMessage:
        raw = [as_read(row) for row in rows]
        letta = {**self._place, "message_id": id_of(rows[-1]), **(known or {}), "rows": raw}
        message = ChatMessage(role=role, blocks=list(blocks), additional_kwargs={**(kwargs or {}), LETTA_KEY: letta})
        letta["said"] = said_by(message)  # so that a message that was changed since can be told
        return message


def _named(name: str | None) -> dict[str, Any]:
    return {"name": name} if name else {}


def _approvals(row: ApprovalResponseMessage | None) -> Sequence[_Answer]:
    return (row.approvals or ()) if row is not None else ()


def _blocks(row: _OfAStep) -> list[ContentBlock]:
    match row:
        case AssistantMessage():
            return blocks_from_content(row.content)
        case ReasoningMessage():
            known = {"signature": row.signature} if row.signature else {}
            return [ThinkingBlock(content=row.reasoning, additional_information=known)]
        case HiddenReasoningMessage():
            data = {"data": row.hidden_reasoning} if row.hidden_reasoning else {}
            return [ThinkingBlock(additional_information={"state": row.state, **data})]
        case ToolCallMessage() | ApprovalRequestMessage():
            return [
                CallBlock(
                    tool_call_id=call.tool_call_id,
                    tool_name=call.name or "",
                    tool_kwargs=tool_kwargs(call.arguments or ""),
                )
                for call in calls_of(row)
            ]


def _names(rows: Sequence[_OfAStep]) -> dict[str, str]:
    return {
        call.tool_call_id: call.name
        for row in rows
        if isinstance(row, (ApprovalRequestMessage, ToolCallMessage))
        for call in calls_of(row)
        if call.tool_call_id and call.name
    }


def _told(row: Row) -> str:
    """The text of what is neither the user's nor the agent's."""
    match row:
        case SystemMessage():
            return row.content
        case SummaryMessage():
            return row.summary
        case EventMessage():
            return f"{row.event_type}: {json.dumps(row.event_data, ensure_ascii=False)}"
        case UserMessage():
            return _packed(str(row.content))
        case Unknown() | _:
            return ""


def _packed(content: str) -> str:
    """What the server packed into a message of a user's."""
    packed = cast("dict[str, Any]", json.loads(content))
    return str(packed.get("message") or content)
