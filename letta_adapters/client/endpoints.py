"""Every endpoint once: what to send and how to read the answer. No I/O.

`resources.py` makes the blocking and the asynchronous methods out of these functions, so a signature, its docstring
and its logic exist in one place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import TypeAdapter

from letta_adapters.exchange import Query, Request
from letta_adapters.reading import messages_path
from letta_adapters.under_way import runs_in_flight
from letta_adapters.wire import (
    Agent,
    Conversation,
    KnownMessage,
    MessageType,
    Model,
    Run,
    Unknown,
    parse_messages,
)

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
    "list_run_messages",
    "list_runs_in_flight",
    "retrieve_agent",
    "retrieve_conversation",
    "retrieve_run",
    "update_conversation",
]

T = TypeVar("T")
Order = Literal["asc", "desc"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_CONVERSATIONS: TypeAdapter[list[Conversation]] = TypeAdapter(list[Conversation])
_RUNS: TypeAdapter[list[Run]] = TypeAdapter(list[Run])
_MODELS: TypeAdapter[list[Model]] = TypeAdapter(list[Model])
_CANCELLED: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


@dataclass(frozen=True, kw_only=True)
class Endpoint(Generic[T]):
    """A request and the reader of its answer.

    Args:
        request: What to send.
        read: Makes the result out of the body; raises `ValueError` when it cannot.
        repeatable: Whether sending twice does no more than sending once, so that a lost answer may be asked for again.
    """

    request: Request
    read: Callable[[bytes], T]
    repeatable: bool


def _get(path: str, read: Callable[[bytes], T], query: Query | None = None) -> Endpoint[T]:
    return Endpoint(request=Request(method="GET", path=path, query=query or {}), read=read, repeatable=True)


def _post(
    path: str,
    read: Callable[[bytes], T],
    *,
    query: Query | None = None,
    body: Mapping[str, Any] | None = None,
) -> Endpoint[T]:
    given = {name: value for name, value in (body or {}).items() if value is not None}
    return Endpoint(
        request=Request(method="POST", path=path, query=query or {}, body=json.dumps(given).encode()),
        read=read,
        repeatable=False,
    )


def _delete(path: str) -> Endpoint[None]:
    return Endpoint(request=Request(method="DELETE", path=path), read=lambda _: None, repeatable=True)


def _checked(name: str, value: str, prefix: str) -> str:
    if not _ID.fullmatch(value) or not value.startswith(prefix):
        raise ValueError(f"`{name}` must look like `{prefix}…`, not {value!r}.")
    return value


def check_agent_id(agent_id: str) -> str:
    """Give the id back, or raise `ValueError` when it cannot be an agent's."""
    return _checked("agent_id", agent_id, "agent-")


def check_conversation_id(conversation_id: str, agent_id: str | None = None) -> str:
    """Give the id back, or raise `ValueError` when it cannot be a conversation's.

    `default` is every agent's default conversation, so it goes with an agent id only.
    """
    if conversation_id != "default":
        return _checked("conversation_id", conversation_id, "conv-")
    if agent_id is None:
        raise ValueError("`conversation_id='default'` needs an `agent_id`: every agent has a default conversation.")
    return conversation_id


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
        NotFound: The model is not known to the server.
    """
    body = {
        "name": name,
        "model": model,
        "memory_blocks": [dict(block) for block in memory_blocks],
        "system": system,
        "agent_type": agent_type,
        "include_base_tools": include_base_tools,
        **fields,
    }
    return _post("/v1/agents/", Agent.model_validate_json, body=body)


def retrieve_agent(agent_id: str) -> Endpoint[Agent]:
    """Get an agent.

    Raises:
        NotFound: There is none of this id.
    """
    return _get(f"/v1/agents/{check_agent_id(agent_id)}", Agent.model_validate_json)


def delete_agent(agent_id: str) -> Endpoint[None]:
    """Delete an agent with all its conversations.

    Raises:
        NotFound: There is none of this id.
    """
    return _delete(f"/v1/agents/{check_agent_id(agent_id)}")


def list_models() -> Endpoint[list[Model]]:
    """List the models that agents of this server can use."""
    return _get("/v1/models/", _MODELS.validate_json)


def create_conversation(
    *,
    agent_id: str,
    summary: str | None = None,
    model: str | None = None,
    model_settings: Mapping[str, Any] | None = None,
    isolated_block_labels: Sequence[str] | None = None,
) -> Endpoint[Conversation]:
    """Start a conversation with an agent.

    Args:
        agent_id: The agent.
        summary: A text that describes it, and that `list` can search for.
        model: The handle of another model than the agent's.
        model_settings: Settings of that model.
        isolated_block_labels: Memory blocks that this conversation has for itself (self-hosted servers).

    Raises:
        NotFound: There is no such agent.
    """
    return _post(
        "/v1/conversations/",
        Conversation.model_validate_json,
        query={"agent_id": check_agent_id(agent_id)},
        body={
            "summary": summary,
            "model": model,
            "model_settings": dict(model_settings) if model_settings is not None else None,
            "isolated_block_labels": list(isolated_block_labels) if isolated_block_labels is not None else None,
        },
    )


def retrieve_conversation(conversation_id: str) -> Endpoint[Conversation]:
    """Get a conversation, with the ids of the messages that its model sees.

    Raises:
        NotFound: There is none of this id.
    """
    return _get(f"/v1/conversations/{check_conversation_id(conversation_id)}", Conversation.model_validate_json)


def list_conversations(
    *,
    agent_id: str | None = None,
    summary_search: str | None = None,
    limit: int | None = None,
    after: str | None = None,
    order: Order | None = None,
) -> Endpoint[list[Conversation]]:
    """List conversations, newest first unless `order` says otherwise.

    Args:
        agent_id: Those of this agent only.
        summary_search: Those whose summary contains this text.
        limit: How many at most; the server's default is 50.
        after: The id of the conversation to go on after.
        order: `asc` for oldest first.
    """
    query = {
        "agent_id": check_agent_id(agent_id) if agent_id else None,
        "summary_search": summary_search,
        "limit": limit,
        "after": after,
        "order": order,
    }
    return _get("/v1/conversations/", _CONVERSATIONS.validate_json, query)


def delete_conversation(conversation_id: str) -> Endpoint[None]:
    """Delete a conversation.

    Raises:
        NotFound: There is none of this id.
    """
    return _delete(f"/v1/conversations/{check_conversation_id(conversation_id)}")


def update_conversation(conversation_id: str, *, summary: str | None = None) -> Endpoint[Conversation]:
    """Change a conversation.

    Args:
        conversation_id: The conversation.
        summary: A text that describes it, and that `list` can search for.

    Raises:
        NotFound: There is none of this id.
    """
    path = f"/v1/conversations/{check_conversation_id(conversation_id)}"
    body = json.dumps({"summary": summary} if summary is not None else {}).encode()
    request = Request(method="PATCH", path=path, query={}, body=body)
    return Endpoint(request=request, read=Conversation.model_validate_json, repeatable=True)


def fork_conversation(
    conversation_id: str, *, agent_id: str | None = None, message_id: str | None = None
) -> Endpoint[Conversation]:
    """Start a conversation that begins with the messages of another one.

    Args:
        conversation_id: The conversation to begin with, or `default` with `agent_id`. Forking `default` takes the
            messages out of its list (measured on 0.16.8).
        agent_id: The agent, for `default`.
        message_id: The last message to take. A self-hosted server takes all, and its answer does not say so
            (measured on 0.16.8): compare the last of `in_context_message_ids`, which `retrieve` gives.

    Raises:
        NotFound: There is none of this id.
    """
    path = f"/v1/conversations/{check_conversation_id(conversation_id, agent_id)}/fork"
    return _post(path, Conversation.model_validate_json, query={"agent_id": agent_id, "message_id": message_id})


def cancel_conversation(conversation_id: str, *, agent_id: str | None = None) -> Endpoint[dict[str, str]]:
    """Cancel the turn in flight; gives `{run_id: "cancelled"}`.

    On `default` a self-hosted server cancels the turns of all the agent's conversations.

    Raises:
        Conflict: No turn is in flight.
        NotFound: There is none of this id.
    """
    path = f"/v1/conversations/{check_conversation_id(conversation_id, agent_id)}/cancel"
    return _post(path, _CANCELLED.validate_json, query={"agent_id": agent_id})


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
    return _post(path, _CANCELLED.validate_json, body={"run_ids": list(run_ids) if run_ids is not None else None})


def list_messages(
    conversation_id: str,
    *,
    agent_id: str | None = None,
    after: str | None = None,
    before: str | None = None,
    limit: int | None = None,
    order: Order | None = None,
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
        include_return_message_types: Rows of these types only; the limit counts the others too.
    """
    query: Query = {
        "agent_id": agent_id,
        "after": after,
        "before": before,
        "limit": limit,
        "order": order,
        "include_return_message_types": include_return_message_types,
    }
    return _get(messages_path(check_conversation_id(conversation_id, agent_id)), parse_messages, query)


def retrieve_run(run_id: str) -> Endpoint[Run]:
    """Get a run. Its status alone proves nothing: a failed run can be recorded as completed.

    Raises:
        NotFound: There is none of this id.
    """
    return _get(f"/v1/runs/{_checked('run_id', run_id, 'run-')}", Run.model_validate_json)


def list_runs_in_flight(conversation_id: str, *, agent_id: str | None = None) -> Endpoint[list[Run]]:
    """List the runs of a conversation that have not ended, newest first, at most 100.

    A run is listed 0.2 to 2.2 seconds after its request (measured on 0.16.8); a server that died leaves its runs in
    flight for ever. The runs of `default` have no conversation, so all of the agent's are listed for it.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        agent_id: The agent, for `default`.
    """
    query = runs_in_flight(check_conversation_id(conversation_id, agent_id), agent_id)
    return _get("/v1/runs/", _RUNS.validate_json, query)


def list_newest_runs(conversation_id: str, *, limit: int) -> Endpoint[list[Run]]:
    """List the runs of a conversation, newest first; those of `default` have none."""
    query: Query = {"conversation_id": check_conversation_id(conversation_id, None), "limit": limit, "order": "desc"}
    return _get("/v1/runs/", _RUNS.validate_json, query)


def list_run_messages(
    run_id: str, *, limit: int | None = None, order: Order | None = None
) -> Endpoint[list[KnownMessage | Unknown]]:
    """Get the messages that a run stored, the input included; oldest first unless `order` says otherwise.

    Raises:
        NotFound: There is no run of this id.
    """
    path = f"/v1/runs/{_checked('run_id', run_id, 'run-')}/messages"
    return _get(path, parse_messages, {"limit": limit, "order": order})
