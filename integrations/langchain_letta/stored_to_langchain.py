"""Messages as a conversation stores them, translated to LangChain's.

One run of the agent becomes what was said in its request, message by message, and ONE `AIMessage`: the very one that
`ChatLetta` gives for that turn, but for what the rows do not tell (usage, why the turn ended). It carries the same
anchor, so `ChatLetta` goes on behind it and sends nothing of it again. A run that brought no answer gets an empty one,
which is what `ChatLetta` gives, too.

| stored | in LangChain |
|---|---|
| `system_message` | `SystemMessage` |
| `user_message` | `HumanMessage` |
| `assistant_message` | text of the `AIMessage`; a seed, which stands before the user's last words, is one of its own |
| `reasoning_message`, `hidden_reasoning_message` | a `reasoning` block |
| `tool_call_message` | a `server_tool_call` block |
| `tool_return_message` | a `server_tool_result` block, or a `ToolMessage` for each call that the client answered |
| `approval_request_message` | `tool_calls` |
| `approval_response_message` | a `ToolMessage` for each call; `stdout` and `stderr` are in its `artifact` |
| `summary_message`, `event_message`, any type not known | a `non_standard` block |

What a self-hosted server packs into a `user_message` by itself is no user's: a summary becomes that of a
`summary_message`, an alert is kept as it is. Every message has the rows that it was made of in
`response_metadata["letta_stored"]`: whole, so nothing is lost. `letta_from_langchain` is the way back.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_letta.decisions import decision_kwargs
from langchain_letta.events import message_from
from letta_adapters.assembly import Assembly
from letta_adapters.client.listing import id_of
from letta_adapters.composing import as_read
from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import FinishedTurn, PendingCall
from letta_adapters.matching import Row, is_input, is_the_servers
from letta_adapters.stored_turns import TurnGrouping, TurnRows
from letta_adapters.system_text import digest_of
from letta_adapters.transcript import Anchor, PendingRef
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    ApprovalReturn,
    AssistantMessage,
    Base64Image,
    ContentPart,
    ImageContent,
    TextContent,
    ToolReturn,
    ToolReturnMessage,
    Unknown,
    UrlImage,
    UserMessage,
    calls_of,
    returns_of,
    summary_of,
)
from letta_adapters.wire import SystemMessage as StoredSystemMessage

__all__ = ["STORED_KEY", "StoredToLangChain", "langchain_from_letta", "said_by", "stored_in"]

STORED_KEY = "letta_stored"
"""Where a message says what it was made of, in `response_metadata`: `{"conversation_id", "rows", "said"}`.

`said` is a digest of what the message said when it was made, so that one that was changed since can be told.
"""

_INSTRUCTIONS = frozenset({"system_message"})
"""What is left out unless it is asked for: instructions are the agent's or the program's, and no part of a dialogue."""

_SAID = {"type", "content", "name", "tool_calls", "invalid_tool_calls", "tool_call_id", "status", "artifact"}

Content = str | list[str | dict[Any, Any]]


class StoredToLangChain:
    """Translates turns, one after the other, oldest first.

    Args:
        conversation_id: The conversation that they were read from.
        agent_id: Its agent.
        include: Types of the messages to give, as the server names them; `None` for all but `system_message`.
        anchor_key: Signs the anchors, as `ChatLetta` with the same key wants them.
    """

    def __init__(
        self,
        *,
        conversation_id: str,
        agent_id: str,
        include: Collection[str] | None = None,
        anchor_key: str | None = None,
    ) -> None:
        self._conversation_id = conversation_id
        self._agent_id = agent_id
        self._include = frozenset(include) if include is not None else None
        self._anchor_key = anchor_key
        self._system_hash: str | None = None
        self._tools: dict[str, str] = {}  # names by the ids of the calls that were made last

    def messages(self, turn: TurnRows) -> list[BaseMessage]:
        """The messages of a turn."""
        self._hear(turn)
        told = [*self._results(turn), *(one for row in turn.said if (one := self._said(row)) is not None)]
        answer = self._answer(turn)
        self._tools = _names(turn.rows) or self._tools
        messages = [*told, answer] if answer is not None else told
        for message in messages:
            message.response_metadata[STORED_KEY]["said"] = said_by(message)
        return messages

    def _hear(self, turn: TurnRows) -> None:
        """Keep what `ChatLetta` asks an anchor for: the system text that the conversation was told last."""
        texts = [row.content for row in turn.said if isinstance(row, StoredSystemMessage) and row.run_id]
        if texts:
            self._system_hash = digest_of(texts[0])

    def _wants(self, row: Row) -> bool:
        if self._include is None:
            return row.message_type not in _INSTRUCTIONS
        return _unpacked(row).message_type in self._include

    # What was said.

    def _said(self, row: Row) -> BaseMessage | None:
        if not self._wants(row):
            return None
        match row:
            case StoredSystemMessage():
                return SystemMessage(row.content, id=row.id, response_metadata=self._stored(row))
            case UserMessage() if is_input(row):
                content = _content(row.content)
                return HumanMessage(content, id=row.id, name=row.name, response_metadata=self._stored(row))
            case AssistantMessage():
                content = _content(row.content)
                return AIMessage(content, id=row.id, name=row.name, response_metadata=self._stored(row))
            case _:
                return None  # results are told by `_results`, notes with the answer

    def _results(self, turn: TurnRows) -> list[ToolMessage]:
        """What was answered to calls: the results that came back out of it tell more than the answers themselves."""
        rows = [row for row in turn.rows if isinstance(row, (ApprovalResponseMessage, ToolReturnMessage))]
        wanted = [row for row in rows if self._wants(row)]
        if not wanted:
            return []
        answers = {
            answer.tool_call_id: answer
            for row in rows
            if isinstance(row, ApprovalResponseMessage)
            for answer in row.approvals or ()
        }
        back = {one.tool_call_id: one for row in rows if isinstance(row, ToolReturnMessage) for one in returns_of(row)}
        messages: list[ToolMessage] = []
        for call_id, answer in answers.items():
            sources = [row for row in wanted if call_id in _answered_in(row)]
            if sources:
                messages.append(self._result(back.get(call_id, answer), sources, name=self._tools.get(call_id)))
        return messages

    def _result(self, answer: ToolReturn | ApprovalReturn, rows: Sequence[Row], *, name: str | None) -> ToolMessage:
        if isinstance(answer, ToolReturn):
            content, status = _content(answer.tool_return), answer.status
            logs = {"stdout": answer.stdout, "stderr": answer.stderr}
            kwargs: dict[str, Any] = {}
        else:
            content, status = answer.reason or "", _status(answer)
            logs: dict[str, list[str] | None] = {}
            kwargs = decision_kwargs(approve=answer.approve, reason=answer.reason)
        return ToolMessage(
            content,
            tool_call_id=answer.tool_call_id,
            status=status,
            name=name,
            id=f"{id_of(rows[-1])}-{answer.tool_call_id}",  # results of one message share its id
            artifact={stream: lines for stream, lines in logs.items() if lines} or None,
            additional_kwargs=kwargs,
            response_metadata=self._stored(*rows),
        )

    # What came of it.

    def _answer(self, turn: TurnRows) -> AIMessage | None:
        """The message of the turn, made as `ChatLetta` makes it."""
        came = _of_the_answer(turn)
        whole = _assembled(turn, came)
        rows = [row for row in came if self._wants(row)]
        shown = whole if self._include is None else _assembled(turn, rows)
        if not rows and (self._include is not None or turn.run_id is None):
            return None
        anchor = self._anchor(turn, whole)
        finished = FinishedTurn(
            conversation_id=self._conversation_id,
            agent_id=self._agent_id,
            run_id=turn.run_id,
            answer_id=whole.answer_id or anchor.message_id,  # an event alone names no answer
            message_ids=anchor.message_ids,
            otids=tuple(row.otid for row in turn.said if not isinstance(row, Unknown) and is_input(row) and row.otid),
            parts=shown.parts(),
            stop_reason=anchor.stop_reason or "",
        )
        message = message_from(
            Delivered(turn=finished, anchor=anchor), self._begun, model_name=f"letta/{self._agent_id}"
        )
        if not anchor.pending:
            message.response_metadata.pop("finish_reason", None)  # the rows do not tell why it ended
        message.response_metadata.update(self._stored(*rows))
        return message

    def _anchor(self, turn: TurnRows, whole: Assembly) -> Anchor:
        """Where the conversation stood: its last message of this run, since a summary of its own is no news."""
        of_run = [id_of(row) for row in turn.rows if row.run_id == turn.run_id]
        ids = tuple(one for one in whole.message_ids if one in of_run)
        pending = [part for part in whole.parts() if isinstance(part, PendingCall)]
        anchor = Anchor(
            agent_id=self._agent_id,
            conversation_id=self._conversation_id,
            run_id=turn.run_id,
            message_id=ids[-1] if ids else of_run[-1],
            message_ids=ids,
            stop_reason="requires_approval" if pending else None,
            pending=tuple(PendingRef(tool_call_id=part.tool_call_id, name=part.name) for part in pending),
            system_hash=self._system_hash,
        )
        return self._signed(anchor)

    def _begun(self, conversation_id: str, run_id: str | None) -> Anchor:
        return self._signed(Anchor(agent_id=self._agent_id, conversation_id=conversation_id, run_id=run_id))

    def _signed(self, anchor: Anchor) -> Anchor:
        return anchor.signed(self._anchor_key) if self._anchor_key else anchor

    def _stored(self, *rows: Row) -> dict[str, Any]:
        raw = [as_read(row) for row in rows]
        return {STORED_KEY: {"conversation_id": self._conversation_id, "rows": raw}}


def stored_in(message: BaseMessage) -> str | None:
    """The conversation that a message was read from."""
    stored = message.response_metadata.get(STORED_KEY)
    found = cast("dict[str, Any]", stored).get("conversation_id") if isinstance(stored, dict) else None
    return found if isinstance(found, str) else None


def said_by(message: BaseMessage) -> str:
    """A digest of what a message says; where it stands and what came with it is no part of that."""
    told = message.model_dump(mode="json", include=_SAID, fallback=str)
    return digest_of(json.dumps(told, sort_keys=True))


def langchain_from_letta(rows: Sequence[Row], *, conversation_id: str, agent_id: str) -> list[BaseMessage]:
    """Translate stored messages, such as `conversations.messages.list` gives or a file of them has.

    `LettaChatMessageHistory` reads a conversation from its server; this is for rows that are here already. A turn of
    the agent becomes one `AIMessage`, system messages are among the others, and `letta_from_langchain` is the way back.

    Args:
        rows: The messages, oldest first.
        conversation_id: The conversation that they are of.
        agent_id: Its agent.

    Example:
        ```python
        from langchain_letta import langchain_from_letta
        from letta_adapters.wire import AssistantMessage, UserMessage

        rows = [UserMessage(id="message-1", content="Hello"), AssistantMessage(id="message-2", content="Hello, Ann.")]
        for message in langchain_from_letta(rows, conversation_id="conv-1", agent_id="agent-1"):
            print(message.type, message.text)
        ```
    """
    turns = TurnGrouping()
    include = {_unpacked(row).message_type for row in rows}
    translate = StoredToLangChain(conversation_id=conversation_id, agent_id=agent_id, include=include)
    return [message for turn in [*turns.feed(rows), *turns.finish()] for message in translate.messages(turn)]


def _of_the_answer(turn: TurnRows) -> list[Row]:
    """What came of a turn, and before it what a request does not say either: results of the server's tools, notes."""
    told = (StoredSystemMessage, AssistantMessage)
    others = [row for row in turn.said if not isinstance(row, told) and not is_input(row)]
    before = [row for row in others if not turn.is_echo(row)]
    # An answer to calls that names none is no message of its own; here it is kept at least.
    before += [row for row in turn.said if isinstance(row, ApprovalResponseMessage) and not row.approvals]
    return [*before, *turn.came]


def _assembled(turn: TurnRows, rows: Sequence[Row]) -> Assembly:
    assembly = Assembly(own_results=turn.own_results)
    for row in rows:
        assembly.feed(_unpacked(row))
    assembly.finish()
    return assembly


def _answered_in(row: ApprovalResponseMessage | ToolReturnMessage) -> set[str]:
    """The calls that a row tells the answers to."""
    answers = returns_of(row) if isinstance(row, ToolReturnMessage) else row.approvals or ()
    return {answer.tool_call_id for answer in answers}


def _unpacked(row: Row) -> Row:
    """What the server packed into a user's message, as the note that it is."""
    if not isinstance(row, UserMessage) or not is_the_servers(row):
        return row
    return summary_of(row) or Unknown(raw=row.model_dump(mode="json", exclude_unset=True))


def _names(rows: Sequence[Row]) -> dict[str, str]:
    return {
        call.tool_call_id: call.name
        for row in rows
        if isinstance(row, ApprovalRequestMessage)
        for call in calls_of(row)
        if call.tool_call_id and call.name
    }


def _status(answer: ApprovalReturn) -> Literal["success", "error"]:
    return "success" if answer.approve else "error"


def _content(content: str | Sequence[ContentPart | Unknown]) -> Content:
    if isinstance(content, str):
        return content
    return [_block(part) for part in content]


def _block(part: ContentPart | Unknown) -> dict[str, Any]:
    match part:
        case TextContent():
            return {"type": "text", "text": part.text}
        case ImageContent():
            return {"type": "image", **_image(part)}
        case _:
            return {"type": "non_standard", "value": part.model_dump(mode="json", exclude_none=True)}


def _image(part: ImageContent) -> dict[str, Any]:
    match part.source:
        case UrlImage():
            return {"url": part.source.url}
        case Base64Image(data=data, media_type=media_type, detail=detail):
            return {"base64": data, "mime_type": media_type, **_extras(detail=detail)}
        case source:
            kind = {"mime_type": source.media_type} if source.media_type else {}
            return {"file_id": source.file_id, **kind, **_extras(detail=source.detail, data=source.data)}


def _extras(**fields: str | None) -> dict[str, Any]:
    """What of an image LangChain's block has no place for."""
    told = {name: value for name, value in fields.items() if value is not None}
    return {"extras": told} if told else {}
