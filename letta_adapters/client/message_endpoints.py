"""What is done with the messages of a conversation or of an agent, beside streaming turns. No I/O."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter
from typing_extensions import Unpack

from letta_adapters.client.calls import Endpoint, check_agent_id, check_conversation_id, flag, get, patch, post
from letta_adapters.client.controls import WholeRequest, check_there_is_something, checked
from letta_adapters.exchange import Query, Request
from letta_adapters.reading import messages_path
from letta_adapters.wire import (
    Agent,
    AsyncTurnRequest,
    InputModel,
    KnownMessage,
    LettaResponse,
    MessageRequest,
    MessageType,
    Run,
    TurnRequest,
    Unknown,
    parse_messages,
)

if TYPE_CHECKING:
    from letta_adapters.wire import CompactionResponse, CompactionSettings

__all__ = [
    "answer_agent_message",
    "answer_message",
    "compact_agent",
    "compact_conversation",
    "create_async_message",
    "list_agent_messages",
    "preview_agent_message",
    "preview_message",
    "reset_agent",
]

_PAYLOAD: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_AGENT: TypeAdapter[Agent | None] = TypeAdapter(Agent | None)


def _request_of(kind: type[MessageRequest], request: WholeRequest, **more: Any) -> MessageRequest:
    check_there_is_something(request)
    return checked(kind, {**request, **more})


def _body(request: MessageRequest, *, streaming: bool | None = None) -> dict[str, Any]:
    body = request.model_dump(mode="json", exclude_none=True)
    return body if streaming is None else {**body, "streaming": streaming}


def answer_message(
    conversation_id: str, *, agent_id: str | None = None, **request: Unpack[WholeRequest]
) -> Endpoint[LettaResponse]:
    """Send a turn to a conversation and get its answer whole, as JSON.

    A self-hosted server does not lock the conversation for it nor dedupe it (measured on 0.16.8), so it is sent once:
    a connection that is lost tells nothing of what became of it.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        agent_id: The agent, for `default`.
        request: `messages` or `input`, and any of `letta_adapters.client.controls.Controls`.
    """
    path = messages_path(check_conversation_id(conversation_id, agent_id))
    of_default = agent_id if conversation_id == "default" else None
    body = _body(_request_of(TurnRequest, request, agent_id=of_default), streaming=False)
    return post(path, LettaResponse.model_validate_json, body=_without_streaming(body))


def _without_streaming(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("background", "stream_tokens", "include_pings")}


def answer_agent_message(agent_id: str, **request: Unpack[WholeRequest]) -> Endpoint[LettaResponse]:
    """Send a turn to an agent's default conversation and get its answer whole, as JSON.

    The endpoint where a self-hosted server knows `return_logprobs`, `return_token_ids` and
    `include_compaction_messages` (read in the source of 0.16.8). It neither locks nor dedupes, so the turn is sent
    once: a connection that is lost tells nothing of what became of it.

    Args:
        agent_id: The agent.
        request: `messages` or `input`, and any of `letta_adapters.client.controls.Controls`.

    Raises:
        NotFound: There is no such agent.
        PendingApprovalError: It waits for the answer to a call.
        ValueError: A control is not what the API takes; the message names it.

    Example:
        ```python
        answer = client.agents.messages.create(agent.id, input="Hello")
        print(answer.text, answer.usage.total_tokens)
        ```
    """
    path = f"/v1/agents/{check_agent_id(agent_id)}/messages"
    body = _body(_request_of(MessageRequest, request), streaming=False)
    return post(path, LettaResponse.model_validate_json, body=body)


def create_async_message(
    agent_id: str, *, callback_url: str | None = None, **request: Unpack[WholeRequest]
) -> Endpoint[Run]:
    """Send a turn that nobody waits for, and get its run at once; `runs.wait` and `runs.progress` tell of its end.

    Args:
        agent_id: The agent.
        callback_url: An address that the server calls when the run has ended.
        request: `messages` or `input`, and any of `letta_adapters.client.controls.Controls`.

    Raises:
        NotFound: There is no such agent.
        ValueError: A control is not what the API takes; the message names it.

    Example:
        ```python
        run = client.agents.messages.create_async(agent.id, input="Take your time")
        print(client.runs.wait(run.id).stop_reason)
        ```
    """
    path = f"/v1/agents/{check_agent_id(agent_id)}/messages/async"
    body = _body(_request_of(AsyncTurnRequest, request, callback_url=callback_url))
    return post(path, Run.model_validate_json, body=body)


def preview_message(
    conversation_id: str, *, agent_id: str | None = None, **request: Unpack[WholeRequest]
) -> Endpoint[dict[str, Any]]:
    """Get what the server would send to the model for a turn, without sending or storing anything.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        agent_id: The agent, for `default`.
        request: `messages` or `input`, and any of `letta_adapters.client.controls.Controls`.
    """
    path = f"{messages_path(check_conversation_id(conversation_id, agent_id))}/preview-raw-payload"
    of_default = agent_id if conversation_id == "default" else None
    body = _body(_request_of(TurnRequest, request, agent_id=of_default), streaming=False)
    return _read_only(post(path, _PAYLOAD.validate_json, body=_without_streaming(body)))


def preview_agent_message(agent_id: str, **request: Unpack[WholeRequest]) -> Endpoint[dict[str, Any]]:
    """Get what the server would send to the model for a turn of an agent, without sending or storing anything.

    Args:
        agent_id: The agent.
        request: `messages` or `input`, and any of `letta_adapters.client.controls.Controls`.
    """
    path = f"/v1/agents/{check_agent_id(agent_id)}/messages/preview-raw-payload"
    return _read_only(post(path, _PAYLOAD.validate_json, body=_body(_request_of(MessageRequest, request))))


def _read_only(endpoint: Endpoint[dict[str, Any]]) -> Endpoint[dict[str, Any]]:
    return Endpoint(request=endpoint.request, read=endpoint.read, repeatable=True)


def list_agent_messages(
    agent_id: str,
    *,
    conversation_id: str | None = None,
    after: str | None = None,
    before: str | None = None,
    limit: int | None = None,
    order: Literal["asc", "desc"] | None = None,
    order_by: Literal["created_at"] | None = None,
    group_id: str | None = None,
    include_err: bool | None = None,
    include_return_message_types: Sequence[MessageType] | None = None,
    use_assistant_message: bool | None = None,
    assistant_message_tool_name: str | None = None,
    assistant_message_tool_kwarg: str | None = None,
) -> Endpoint[list[KnownMessage | Unknown]]:
    """Get one page of an agent's messages, of all its conversations, newest first unless `order` says otherwise.

    `order="asc"` with `after` the last id seen is the way to read on that every server understands.

    Args:
        agent_id: The agent.
        conversation_id: Those that were said in this conversation only, or in `default`.
        after: A message id; a self-hosted server gives what is newer, Cloud what comes next in the order asked for.
        before: A message id, the other way round.
        limit: How many stored messages at most; the server's default is 100.
        order: `asc` for oldest first.
        order_by: The time that counts; there is only that of their creation.
        group_id: Those of this group of agents only.
        include_err: Whether to show messages of errors, too; for debugging.
        include_return_message_types: Rows of these types only; the limit counts the others too.
        use_assistant_message: Deprecated: for agents that speak by a tool.
        assistant_message_tool_name: Deprecated: the name of that tool.
        assistant_message_tool_kwarg: Deprecated: the name of its argument.

    Raises:
        NotFound: There is no such agent.
    """
    query: Query = {
        "conversation_id": check_conversation_id(conversation_id, agent_id) if conversation_id else None,
        "after": after,
        "before": before,
        "limit": limit,
        "order": order,
        "order_by": order_by,
        "group_id": group_id,
        "include_err": flag(include_err),
        "include_return_message_types": include_return_message_types,
        "use_assistant_message": flag(use_assistant_message),
        "assistant_message_tool_name": assistant_message_tool_name,
        "assistant_message_tool_kwarg": assistant_message_tool_kwarg,
    }
    return get(f"/v1/agents/{check_agent_id(agent_id)}/messages", parse_messages, query)


def compact_conversation(
    conversation_id: str, *, agent_id: str | None = None, compaction_settings: CompactionSettings | None = None
) -> Endpoint[CompactionResponse]:
    """Replace the older messages in a conversation's context by a summary; the list keeps them.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        agent_id: The agent, for `default`.
        compaction_settings: How; what is not set is the agent's setting, or the server's.

    Raises:
        InvalidRequest: There is too little to summarize.
        NotFound: There is no such conversation.

    Example:
        ```python
        done = client.conversations.messages.compact(
            conversation.id, compaction_settings=CompactionSettings(mode="all")
        )
        print(done.summary, done.num_messages_before, done.num_messages_after)
        ```
    """
    path = f"/v1/conversations/{check_conversation_id(conversation_id, agent_id)}/compact"
    return _compact(path, compaction_settings, agent_id if conversation_id == "default" else None)


def compact_agent(
    agent_id: str, *, compaction_settings: CompactionSettings | None = None
) -> Endpoint[CompactionResponse]:
    """Replace the older messages in the context of an agent's default conversation by a summary.

    Args:
        agent_id: The agent.
        compaction_settings: How; what is not set is the agent's setting, or the server's.

    Raises:
        InvalidRequest: There is too little to summarize.
        NotFound: There is no such agent.
    """
    return _compact(f"/v1/agents/{check_agent_id(agent_id)}/summarize", compaction_settings, None)


def _compact(path: str, settings: CompactionSettings | None, agent_id: str | None) -> Endpoint[CompactionResponse]:
    from letta_adapters.wire import CompactionRequest, CompactionResponse  # few programs compact by hand

    body = _sent(CompactionRequest(compaction_settings=settings, agent_id=agent_id))
    if settings is not None and "clip_chars" in settings.model_fields_set:
        body["compaction_settings"]["clip_chars"] = settings.clip_chars  # null says that nothing is cut
    request = Request(method="POST", path=path, body=json.dumps(body).encode())
    return Endpoint(request=request, read=CompactionResponse.model_validate_json, repeatable=False)


def _sent(body: InputModel) -> dict[str, Any]:
    return body.model_dump(mode="json", exclude_none=True)


def reset_agent(agent_id: str, *, add_default_initial_messages: bool | None = None) -> Endpoint[Agent | None]:
    """Empty the context of an agent's default conversation; its list keeps the messages.

    Args:
        agent_id: The agent.
        add_default_initial_messages: Whether to begin with the messages that a new agent has.

    Returns:
        The agent, where the server answers with it.

    Raises:
        NotFound: There is no such agent.
    """
    path = f"/v1/agents/{check_agent_id(agent_id)}/reset-messages"
    return patch(path, _AGENT.validate_json, body={"add_default_initial_messages": add_default_initial_messages})
