"""What a conversation holds, read with the official SDK: a witness that shares no code with this project.

A story is a list of (kind, text) lines. `Reader.story` tells what the server holds, `story_of` what the framework
saw; a turn that was lost, sent twice or moved makes them differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from letta_client import Letta

Line = tuple[str, str]

_PAGE = 50


class Reader:
    """Reads conversations, page by page, oldest row first."""

    def __init__(self, base_url: str) -> None:
        self._letta = Letta(base_url=base_url, api_key="not needed")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._letta.close()

    def rows(self, conversation_id: str, *, agent_id: str | None = None) -> list[dict[str, Any]]:
        """Every row but the compiled system prompt at the head."""
        query: dict[str, Any] = {"order": "asc", "limit": _PAGE}
        if agent_id:
            query["agent_id"] = agent_id
        rows: list[dict[str, Any]] = []
        while True:
            page = self._letta.conversations.messages.list(conversation_id, **query)
            rows.extend(row.model_dump(mode="json") for row in page.items)
            if not page.items:
                break
            query["after"] = rows[-1]["id"]
        if not rows:
            return []
        first, *rest = rows
        assert first["message_type"] == "system_message"
        otids = [row["otid"] for row in rest if row["message_type"] == "user_message"]
        assert len(otids) == len(set(otids)), "a user message is stored twice"
        return rest

    def story(self, conversation_id: str, *, agent_id: str | None = None) -> list[Line]:
        """The conversation as the server holds it."""
        return [line for row in self.rows(conversation_id, agent_id=agent_id) for line in _line_of(row)]

    def answers(self, conversation_id: str) -> list[dict[str, Any]]:
        """What was answered to calls, result by result and denial by denial."""
        rows = self.rows(conversation_id)
        return [part for row in rows if row["message_type"] == "approval_response_message" for part in row["approvals"]]

    def runs(self, conversation_id: str) -> list[str]:
        """The turns of a conversation that the server has on record."""
        return [run.id for run in self._letta.runs.list(conversation_id=conversation_id)]

    def conversations(self, agent_id: str) -> list[str]:
        """The conversations of an agent."""
        return [conversation.id for conversation in self._letta.conversations.list(agent_id=agent_id)]


def _line_of(row: dict[str, Any]) -> Iterator[Line]:
    match row["message_type"]:
        case "approval_response_message":
            return  # the results that it carries follow in a row of their own
        case "reasoning_message":
            yield "reasoning", row["reasoning"]
        case "approval_request_message":
            yield "calls", ", ".join(call["name"] for call in row["tool_calls"])
        case "tool_call_message":
            yield "server calls", ", ".join(call["name"] for call in row["tool_calls"])
        case "tool_return_message":
            yield "results", " | ".join(_text_of(result["tool_return"]) for result in row["tool_returns"])
        case kind:
            yield kind.removesuffix("_message"), _text_of(row["content"])


def story_of(messages: Sequence[BaseMessage]) -> list[Line]:
    """The dialogue as the framework saw it."""
    story: list[Line] = []
    for is_result, group in groupby(messages, lambda message: isinstance(message, ToolMessage)):
        if is_result:
            story.append(("results", " | ".join(_text_of(message.content) for message in group)))
        else:
            for message in group:
                story.extend(_lines_of(message))
    return story


def _lines_of(message: BaseMessage) -> Iterable[Line]:
    match message:
        case HumanMessage():
            yield "user", _text_of(message.content)
        case SystemMessage():
            yield "system", _text_of(message.content)
        case AIMessage():
            for block in message.content_blocks:
                if block["type"] == "reasoning":
                    yield "reasoning", block.get("reasoning", "")
                elif block["type"] == "text":
                    yield "assistant", block["text"]
                elif block["type"] == "server_tool_call":
                    yield "server calls", block["name"]
                elif block["type"] == "server_tool_result":
                    yield "results", _text_of(block.get("output"))
            if message.tool_calls:
                yield "calls", ", ".join(call["name"] for call in message.tool_calls)
        case _:
            raise AssertionError(f"no line for {message!r}")


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part["text"] if part["type"] == "text" else "<image>" for part in content)
