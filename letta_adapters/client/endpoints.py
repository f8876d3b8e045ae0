"""Every endpoint once: what to send and how to read the answer. No I/O.

`resources.py` makes the blocking and the asynchronous methods out of these functions, so a signature, its docstring
and its logic exist in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from letta_adapters.client.calls import (
    Endpoint,
    check_agent_id,
    check_conversation_id,
    delete,
    flag,
    get,
    patch,
    post,
)
from letta_adapters.exchange import Query
from letta_adapters.near_names import check_names
from letta_adapters.reading import messages_path
from letta_adapters.wire import (
    Agent,
    Conversation,
    InputModel,
    KnownMessage,
    MessageType,
    Model,
    Unknown,
    parse_messages,
)

if TYPE_CHECKING:
    from letta_adapters.wire import ModelSettings

__all__ = [
    "Endpoint",
    "cancel_conversation",
    "check_agent_id",
    "check_conversation_id",
    "create_agent",
    "create_conversation",
    "delete_agent",
    "delete_conversation",
    "fork_conversation",
    "list_conversations",
    "list_messages",
    "list_models",
    "recompile_conversation",
    "retrieve_agent",
    "retrieve_conversation",
    "update_conversation",
]

Order = Literal["asc", "desc"]

_CONVERSATIONS: TypeAdapter[list[Conversation]] = TypeAdapter(list[Conversation])
_MODELS: TypeAdapter[list[Model]] = TypeAdapter(list[Model])
_TEXT = TypeAdapter(str)
_CANCELLED: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


def create_agent(
    *,
    name: str | None = None,
    model: str | None = None,
    memory_blocks: Sequence[Mapping[str, str]] = (),
    system: str | None = None,
    agent_type: str = "letta_v1_agent",
    include_base_tools: bool | None = None,
    **fields: Any,
) -> Endpoint[Agent]:
    """Create an agent.

    Args:
        name: Its name; the server makes one up otherwise.
        model: The handle of its model, as `provider/model`.
        memory_blocks: Its memory, each `{"label", "value"}`.
        system: Its system prompt.
        agent_type: Only the default type takes client tools.
        include_base_tools: Whether it gets the server's own tools.
        fields: Any other field of the API.

    Raises:
        TypeError: The API has no such field.
        NotFound: The model is not known to the server.
    """
    if fields:
        from letta_adapters.client.agent_fields import AGENT_FIELDS  # few agents need more than the parameters

        check_names("An agent has no field", fields, AGENT_FIELDS)
    body = {
        "name": name,
        "model": model,
        "memory_blocks": [dict(block) for block in memory_blocks],
        "system": system,
        "agent_type": agent_type,
        "include_base_tools": include_base_tools,
        **fields,
    }
    return post("/v1/agents/", Agent.model_validate_json, body=body)


def retrieve_agent(agent_id: str) -> Endpoint[Agent]:
    """Get an agent.

    Raises:
        NotFound: There is none of this id.
    """
    return get(f"/v1/agents/{check_agent_id(agent_id)}", Agent.model_validate_json)


def delete_agent(agent_id: str) -> Endpoint[None]:
    """Delete an agent with all its conversations.

    Raises:
        NotFound: There is none of this id.
    """
    return delete(f"/v1/agents/{check_agent_id(agent_id)}")


def list_models() -> Endpoint[list[Model]]:
    """List the models that agents of this server can use."""
    return get("/v1/models/", _MODELS.validate_json)


def create_conversation(
    *,
    agent_id: str,
    summary: str | None = None,
    model: str | None = None,
    model_settings: ModelSettings | Mapping[str, Any] | None = None,
    isolated_block_labels: Sequence[str] | None = None,
    description: str | None = None,
    hidden: bool | None = None,
    context_window_limit: int | None = None,
) -> Endpoint[Conversation]:
    """Start a conversation with an agent.

    Args:
        agent_id: The agent.
        summary: A text that describes it, and that `list` can search for.
        model: The handle of another model than the agent's.
        model_settings: Settings of that model.
        isolated_block_labels: Memory blocks that this conversation has for itself (self-hosted servers).
        description: A longer text (Letta Cloud).
        hidden: Whether lists leave it out (Letta Cloud).
        context_window_limit: Tokens that its context may take (Letta Cloud).

    Raises:
        NotFound: There is no such agent.
    """
    return post(
        "/v1/conversations/",
        Conversation.model_validate_json,
        query={"agent_id": check_agent_id(agent_id)},
        body={
            "summary": summary,
            "model": model,
            "model_settings": _settings(model_settings),
            "isolated_block_labels": list(isolated_block_labels) if isolated_block_labels is not None else None,
            "description": description,
            "hidden": hidden,
            "context_window_limit": context_window_limit,
        },
    )


def retrieve_conversation(conversation_id: str) -> Endpoint[Conversation]:
    """Get a conversation, with the ids of the messages that its model sees.

    Raises:
        NotFound: There is none of this id.
    """
    return get(f"/v1/conversations/{check_conversation_id(conversation_id)}", Conversation.model_validate_json)


def list_conversations(
    *,
    agent_id: str | None = None,
    summary_search: str | None = None,
    limit: int | None = None,
    after: str | None = None,
    order: Order | None = None,
    order_by: Literal["created_at", "last_run_completion", "last_message_at"] | None = None,
    archive_status: Literal["unarchived", "archived", "all"] | None = None,
) -> Endpoint[list[Conversation]]:
    """List conversations, newest first unless `order` says otherwise.

    Args:
        agent_id: Those of this agent only.
        summary_search: Those whose summary contains this text.
        limit: How many at most; the server's default is 50.
        after: The id of the conversation to go on after.
        order: `asc` for oldest first.
        order_by: The time that counts; without it, that of their creation.
        archive_status: Those that are put away as well, or only those (Letta Cloud).
    """
    query = {
        "agent_id": check_agent_id(agent_id) if agent_id else None,
        "summary_search": summary_search,
        "limit": limit,
        "after": after,
        "order": order,
        "order_by": order_by,
        "archive_status": archive_status,
    }
    return get("/v1/conversations/", _CONVERSATIONS.validate_json, query)


def delete_conversation(conversation_id: str) -> Endpoint[None]:
    """Delete a conversation.

    Raises:
        NotFound: There is none of this id.
    """
    return delete(f"/v1/conversations/{check_conversation_id(conversation_id)}")


def update_conversation(
    conversation_id: str,
    *,
    summary: str | None = None,
    model: str | None = None,
    model_settings: ModelSettings | Mapping[str, Any] | None = None,
    last_message_at: datetime | None = None,
    description: str | None = None,
    archived: bool | None = None,
    context_window_limit: int | None = None,
) -> Endpoint[Conversation]:
    """Change a conversation; what is `None` stays as it is.

    Args:
        conversation_id: The conversation.
        summary: A text that describes it, and that `list` can search for.
        model: The handle of another model than the agent's.
        model_settings: Settings of that model.
        last_message_at: When somebody said something in it.
        description: A longer text (Letta Cloud).
        archived: Whether it is put away (Letta Cloud).
        context_window_limit: Tokens that its context may take (Letta Cloud).

    Raises:
        NotFound: There is none of this id.
    """
    body = {
        "summary": summary,
        "model": model,
        "model_settings": _settings(model_settings),
        "last_message_at": last_message_at.isoformat() if last_message_at is not None else None,
        "description": description,
        "archived": archived,
        "context_window_limit": context_window_limit,
    }
    path = f"/v1/conversations/{check_conversation_id(conversation_id)}"
    return patch(path, Conversation.model_validate_json, body=body)


def _settings(settings: ModelSettings | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if isinstance(settings, InputModel):
        return settings.model_dump(mode="json", exclude_none=True)
    return dict(settings) if settings is not None else None


def fork_conversation(
    conversation_id: str, *, agent_id: str | None = None, message_id: str | None = None, hidden: bool | None = None
) -> Endpoint[Conversation]:
    """Start a conversation that begins with the messages of another one.

    Args:
        conversation_id: The conversation to begin with, or `default` with `agent_id`. Forking `default` takes the
            messages out of its list (measured on 0.16.8).
        agent_id: The agent, for `default`.
        message_id: The last message to take. A self-hosted server takes all, and its answer does not say so
            (measured on 0.16.8): compare the last of `in_context_message_ids`, which `retrieve` gives.
        hidden: Whether lists leave it out (Letta Cloud).

    Raises:
        NotFound: There is none of this id.
    """
    path = f"/v1/conversations/{check_conversation_id(conversation_id, agent_id)}/fork"
    query: Query = {"agent_id": agent_id, "message_id": message_id, "hidden": flag(hidden)}
    return post(path, Conversation.model_validate_json, query=query)


def cancel_conversation(conversation_id: str, *, agent_id: str | None = None) -> Endpoint[dict[str, str]]:
    """Cancel the turn in flight; gives `{run_id: "cancelled"}`.

    On `default` a self-hosted server cancels the turns of all the agent's conversations.

    Raises:
        Conflict: No turn is in flight.
        NotFound: There is none of this id.
    """
    path = f"/v1/conversations/{check_conversation_id(conversation_id, agent_id)}/cancel"
    return post(path, _CANCELLED.validate_json, query={"agent_id": agent_id})


def recompile_conversation(
    conversation_id: str, *, agent_id: str | None = None, dry_run: bool | None = None
) -> Endpoint[str]:
    """Compile the system prompt of a conversation anew, with what its agent's memory holds now; gives the prompt.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        agent_id: The agent, for `default`.
        dry_run: Whether to change nothing and only give the prompt.

    Raises:
        NotFound: There is none of this id.
    """
    path = f"/v1/conversations/{check_conversation_id(conversation_id, agent_id)}/recompile"
    body = {"agent_id": agent_id if conversation_id == "default" else None}
    return post(path, _TEXT.validate_json, query={"dry_run": flag(dry_run)}, body=body)


def cancel_runs(agent_id: str, *, run_ids: Sequence[str] | None = None) -> Endpoint[dict[str, str]]:
    """Cancel runs of an agent, whichever conversation they belong to; gives `{run_id: "cancelled"}`.

    Args:
        agent_id: The agent.
        run_ids: The runs; without them, all that are in flight.

    Raises:
        Conflict: No run is in flight.
        NotFound: There is no agent of this id.
    """
    path = f"/v1/agents/{check_agent_id(agent_id)}/messages/cancel"
    return post(path, _CANCELLED.validate_json, body={"run_ids": list(run_ids) if run_ids is not None else None})


def list_messages(
    conversation_id: str,
    *,
    agent_id: str | None = None,
    after: str | None = None,
    before: str | None = None,
    limit: int | None = None,
    order: Order | None = None,
    order_by: Literal["created_at"] | None = None,
    group_id: str | None = None,
    include_err: bool | None = None,
    include_return_message_types: Sequence[MessageType] | None = None,
) -> Endpoint[list[KnownMessage | Unknown]]:
    """Get one page of a conversation's messages, newest first unless `order` says otherwise.

    A stored message can be several rows with one id. `order="asc"` with `after` the last id seen is the way to read
    on that every server understands. An unknown `after` gives the oldest rows, and a deleted conversation an empty
    page (measured on 0.16.8).

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        agent_id: The agent, for `default`.
        after: A message id; a self-hosted server gives what is newer, Cloud what comes next in the order asked for.
        before: A message id, the other way round.
        limit: How many stored messages at most; the server's default is 100.
        order: `asc` for oldest first.
        order_by: The time that counts; there is only that of their creation.
        group_id: Those of this group of agents only.
        include_err: Whether to show messages of errors, too; for debugging.
        include_return_message_types: Rows of these types only; the limit counts the others too.
    """
    query: Query = {
        "agent_id": agent_id,
        "after": after,
        "before": before,
        "limit": limit,
        "order": order,
        "order_by": order_by,
        "group_id": group_id,
        "include_err": flag(include_err),
        "include_return_message_types": include_return_message_types,
    }
    return get(messages_path(check_conversation_id(conversation_id, agent_id)), parse_messages, query)
