"""Turns as the API's endpoints take them: to send, or to attach to. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid4, uuid5

from letta_adapters.client.endpoints import check_conversation_id
from letta_adapters.locks import Patience
from letta_adapters.steps import OnAbandon
from letta_adapters.waiting import denials
from letta_adapters.wire import (
    ClientSkill,
    ClientTool,
    InputMessage,
    InputPart,
    MessageCreate,
    MessageType,
    ToolCall,
    ToolCallDelta,
    TurnRequest,
)

__all__ = ["PreparedTurn", "attach_to_run", "create_message", "settle"]


@dataclass(frozen=True, kw_only=True)
class PreparedTurn:
    """A turn to send, or (without a `request`) a run to attach to.

    Args:
        conversation_id: The conversation, or `default` together with `agent_id`.
        agent_id: The agent, where known.
        request: What to send.
        may_be_stored: Whether somebody may have sent the request before.
        stored_run_id: The run that has the request already: it is read back, and nothing is sent.
        after: The message that the request follows, where that is known.
        run_id: The run to attach to.
        starting_after: Number of the last event of the run that is not wanted.
        patience: How long to wait for other turns of the conversation; `None` for as long as the client does.
        on_abandon: What becomes of the turn when its caller leaves.
    """

    conversation_id: str
    agent_id: str | None = None
    request: TurnRequest | None = None
    may_be_stored: bool = False
    stored_run_id: str | None = None
    after: str | None = None
    run_id: str | None = None
    starting_after: int = 0
    patience: Patience | None = None
    on_abandon: OnAbandon = "finish"


def create_message(
    conversation_id: str,
    *,
    messages: Sequence[InputMessage] | None = None,
    input: str | Sequence[InputPart] | None = None,
    agent_id: str | None = None,
    client_tools: Sequence[ClientTool] | None = None,
    client_skills: Sequence[ClientSkill] | None = None,
    max_steps: int | None = None,
    override_model: str | None = None,
    override_system: str | None = None,
    include_return_message_types: Sequence[MessageType] | None = None,
    background: bool = True,
    on_abandon: OnAbandon = "finish",
) -> PreparedTurn:
    """Send a turn, exactly once, and stream what comes back.

    Messages without an otid get one before anything is sent.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        messages: What to send; an approval comes first and alone of its kind.
        input: Short for one user message.
        agent_id: The agent, for `default`.
        client_tools: Tools that the caller runs; needed again with their results.
        client_skills: Skills of the caller's environment.
        max_steps: Steps of the agent at most; the server's default is 50.
        override_model: The handle of another model, for this turn.
        override_system: Another system prompt, for this turn; it hides the memory blocks.
        include_return_message_types: Messages of these types only.
        background: Stream in the background where the server can; without it a lost connection cannot be resumed.
        on_abandon: What becomes of the turn when the stream is left before its end: it goes on at the server
            (`finish`), or is cancelled there (`cancel`).

    Raises:
        ValueError: Neither or both of `messages` and `input` are given, or nothing is in them.
        LettaError: While the stream is read; the tree is in `letta_adapters.errors`.

    Example:
        ```python
        with client.conversations.messages.create(conversation.id, input="Hello") as stream:
            print(stream.result().text)
        ```
    """
    if (messages is None) == (input is None):
        raise ValueError("Pass either `messages` or `input`.")
    if not (messages or input):
        raise ValueError("There is nothing to send: `messages` or `input` is empty.")
    if on_abandon not in ("finish", "cancel"):
        raise ValueError(f"`on_abandon` must be 'finish' or 'cancel', not {on_abandon!r}.")
    if messages is None:
        content = input if isinstance(input, str) else list(input or ())
        messages = [MessageCreate(role="user", content=content)]
    # An otid that came with the message may have been used before; an answer to a call may be the second one.
    may_be_stored = any(m.otid or not isinstance(m, MessageCreate) for m in messages)
    request = TurnRequest(
        messages=[m if m.otid else m.model_copy(update={"otid": str(uuid4())}) for m in messages],
        agent_id=agent_id if conversation_id == "default" else None,
        client_tools=list(client_tools) if client_tools else None,
        client_skills=list(client_skills) if client_skills else None,
        max_steps=max_steps,
        override_model=override_model,
        override_system=override_system,
        include_return_message_types=(
            list(include_return_message_types) if include_return_message_types is not None else None
        ),
        background=background,
    )
    return PreparedTurn(
        conversation_id=check_conversation_id(conversation_id, agent_id),
        agent_id=agent_id,
        request=request,
        may_be_stored=may_be_stored,
        on_abandon=on_abandon,
    )


def settle(
    conversation_id: str,
    request_id: str,
    calls: Sequence[ToolCall | ToolCallDelta],
    *,
    agent_id: str | None = None,
    reason: str,
) -> PreparedTurn:
    """Deny calls without asking the model for an answer: one step is used up by the denials (measured on 0.16.8).

    Two that settle the same request for approval at once are one.
    """
    otid = str(uuid5(NAMESPACE_URL, f"letta-adapters:settle:{conversation_id}:{request_id}:{reason}"))
    denial = denials(calls, reason).model_copy(update={"otid": otid})
    return create_message(conversation_id, messages=[denial], agent_id=agent_id, max_steps=1)


def attach_to_run(
    conversation_id: str, *, run_id: str | None = None, starting_after: int = 0, agent_id: str | None = None
) -> PreparedTurn:
    """Stream a run that is already at the server; only runs that were started in the background can be attached to.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        run_id: The run; without it, the latest one in flight.
        starting_after: Number of the last event that is not wanted.
        agent_id: The agent, for `default`.

    Raises:
        LettaError: While the stream is read; the tree is in `letta_adapters.errors`.
    """
    return PreparedTurn(
        conversation_id=check_conversation_id(conversation_id, agent_id),
        agent_id=agent_id,
        run_id=run_id,
        starting_after=starting_after,
    )
