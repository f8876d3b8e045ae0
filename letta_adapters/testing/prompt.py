"""What the model sees: stored messages as OpenAI chat messages, and the tools of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from letta_adapters.testing.errors import invalid, no_text
from letta_adapters.testing.messages import StoredMessage, ToolCall, clipped, plain_text
from letta_adapters.testing.state import Agent
from letta_adapters.testing.turn_request import ClientSkill

__all__ = ["chat_messages", "function_tools"]

ChatMessage = dict[str, Any]

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def function_tools(agent: Agent, client_tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """List the tools of a request: the server's, then the client's, which hide server tools of the same name."""
    hidden = {tool["name"] for tool in client_tools}
    schemas = [tool.schema for tool in agent.tools.values() if tool.name not in hidden]
    for tool in client_tools:
        schema = {"name": tool["name"], "description": tool.get("description"), "parameters": tool.get("parameters")}
        schemas.append(schema if schema["parameters"] else {**schema, "parameters": _NO_PARAMETERS})
    return [{"type": "function", "function": schema} for schema in schemas]


def chat_messages(
    messages: Sequence[StoredMessage],
    *,
    override_system: str | None,
    cap: int,
    skills: Sequence[ClientSkill] = (),
) -> list[ChatMessage]:
    """Turn stored messages into the chat that the model gets.

    Raises:
        ApiError: a client's result has no text and no image.
    """
    chat: list[ChatMessage] = []
    seen: set[str] = set()
    for message in _with_joined_calls(messages):
        if message.role == "tool":
            for result in message.tool_returns:
                if result.tool_call_id not in seen:
                    seen.add(result.tool_call_id)
                    content = plain_text(result.response)
                    if isinstance(result.response, list) and not content:
                        raise no_text("ToolMessage", "content")
                    chat.append({"role": "tool", "content": clipped(content, cap), "tool_call_id": result.tool_call_id})
        elif not message.is_approval_response:
            chat.append(_chat_message(message))
    if override_system is not None and chat and chat[0]["role"] == "system":
        chat[0] = {**chat[0], "content": override_system}
    elif skills and chat and chat[0]["role"] == "system":
        listed = "".join(f"{skill.location} ({skill.description})\n" for skill in skills)
        chat[0] = {**chat[0], "content": f"{chat[0]['content']}\n\n<available_skills>\n{listed}</available_skills>"}
    return chat


def _with_joined_calls(messages: Sequence[StoredMessage]) -> list[StoredMessage]:
    """Join the two halves of a step that called server tools and client tools at once."""
    joined: list[StoredMessage] = []
    for message in messages:
        before = joined[-1] if joined else None
        if message.is_approval_request and before is not None and before.role == "assistant" and before.tool_calls:
            calls = (*before.tool_calls, *(message.tool_calls or ()))
            joined[-1] = replace(before, tool_calls=calls, content=before.content + message.content)
        else:
            joined.append(message)
    return joined


def _chat_message(message: StoredMessage) -> ChatMessage:
    role = "assistant" if message.role == "approval" else message.role
    chat: ChatMessage = {"role": role, "content": _chat_content(message)}
    if message.name is not None:
        chat["name"] = message.name
    reasoning = [part["reasoning"] for part in message.content if part["type"] == "reasoning"]
    if reasoning and len(message.content) > 1:
        chat["reasoning_content"] = reasoning[-1]
    if message.tool_calls:
        chat["tool_calls"] = [_chat_call(call) for call in message.tool_calls]
    return chat


def _chat_content(message: StoredMessage) -> str | list[dict[str, Any]] | None:
    texts = [part["text"] for part in message.content if part["type"] == "text"]
    if message.role == "user" and any(part["type"] != "text" for part in message.content):
        return [_chat_part(part) for part in message.content]
    return "\n\n".join(texts) if texts else None


def _chat_part(part: dict[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    if part["type"] != "image":
        raise invalid(f"Unsupported content type MessageContentType.{part['type']}")
    source = part["source"]
    url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
    return {"type": "image_url", "image_url": {"url": url, "detail": source.get("detail") or "auto"}}


def _chat_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
