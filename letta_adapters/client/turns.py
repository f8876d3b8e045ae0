"""Turns as the API's endpoints take them: to send, or to attach to. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict
from uuid import NAMESPACE_URL, uuid4, uuid5

from typing_extensions import Unpack

from letta_adapters.client.controls import WholeRequest, check_there_is_something, checked
from letta_adapters.client.endpoints import check_agent_id, check_conversation_id
from letta_adapters.locks import Patience
from letta_adapters.steps import OnAbandon
from letta_adapters.turn_requests import Route
from letta_adapters.waiting import denials
from letta_adapters.wire import MessageCreate, Run, ToolCall, ToolCallDelta, TurnRequest

__all__ = [
    "Attaching",
    "PreparedTurn",
    "attach_to_recorded_run",
    "attach_to_run",
    "create_message",
    "settle",
    "stream_agent_message",
]


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
        route: Where it goes, if not to the endpoints of the conversation.
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
    route: Route | None = None
    on_abandon: OnAbandon = "finish"


def create_message(
    conversation_id: str,
    *,
    agent_id: str | None = None,
    background: bool = True,
    stream_tokens: bool = True,
    include_pings: bool = True,
    whole: bool = False,
    on_abandon: OnAbandon = "finish",
    **request: Unpack[WholeRequest],
) -> PreparedTurn:
    """Send a turn, exactly once, and stream what comes back.

    Messages without an otid get one before anything is sent.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        agent_id: The agent, for `default`.
        background: Stream in the background where the server can; without it a lost connection cannot be resumed.
        stream_tokens: Token by token; else message by message.
        include_pings: Let the server show that it lives; without it, a long silence counts as a lost connection.
        whole: Ask for the answer whole, as JSON: it alone has `logprobs` and `token_turns`. There are no events before
            its end, and a lost connection cannot be resumed. In a default conversation it goes to the endpoint of the
            agent, where alone a self-hosted server heeds what they are asked for with (read in the source of 0.16.8).
        on_abandon: What becomes of the turn when the stream is left before its end: it goes on at the server
            (`finish`), or is cancelled there (`cancel`).
        request: `messages`, of which an approval comes first and alone of its kind, or `input` as short for one user
            message; and any of `letta_adapters.client.controls.Controls`.

    Raises:
        ValueError: Neither or both of `messages` and `input` are given, nothing is in them, or a control is not what
            the API takes; the message names it.
        LettaError: While the stream is read; the tree is in `letta_adapters.errors`.

    Example:
        ```python
        with client.conversations.messages.create(conversation.id, input="Hello") as stream:
            print(stream.result().text)
        ```
    """
    if on_abandon not in ("finish", "cancel"):
        raise ValueError(f"`on_abandon` must be 'finish' or 'cancel', not {on_abandon!r}.")
    check_there_is_something(request)
    fields: dict[str, Any] = {
        **request,
        "agent_id": agent_id if conversation_id == "default" else None,
        "background": background and not whole,
        "stream_tokens": stream_tokens and not whole,
        "include_pings": include_pings or whole,  # its default, which a server insists on where nothing streams
        "streaming": not whole,
    }
    made = checked(TurnRequest, fields)
    messages = made.messages or [MessageCreate(role="user", content=made.input or "")]
    # An otid that came with the message may have been used before; an answer to a call may be the second one.
    may_be_stored = any(m.otid or not isinstance(m, MessageCreate) for m in messages)
    named = [m if m.otid else m.model_copy(update={"otid": str(uuid4())}) for m in messages]
    body = {"input": None, "messages": named}
    to_agent = whole and conversation_id == "default"
    return PreparedTurn(
        conversation_id=check_conversation_id(conversation_id, agent_id),
        agent_id=agent_id,
        request=made.model_copy(update={**body, "agent_id": None} if to_agent else body),
        may_be_stored=may_be_stored,
        route=Route(send=f"/v1/agents/{agent_id}/messages") if to_agent else None,
        on_abandon=on_abandon,
    )


def stream_agent_message(
    agent_id: str,
    *,
    background: bool = False,
    stream_tokens: bool = True,
    include_pings: bool = True,
    on_abandon: OnAbandon = "finish",
    **request: Unpack[WholeRequest],
) -> PreparedTurn:
    """Send a turn to the default conversation of an agent through the agent's own endpoint, and stream what comes back.

    A self-hosted server neither locks nor dedupes here (measured on 0.16.8), so that a turn whose connection is lost
    is read back and never sent again. `conversations.messages.create("default", agent_id=…)` does more.

    Args:
        agent_id: The agent.
        background: Stream in the background, so that others can attach to the run.
        stream_tokens: Token by token; else message by message.
        include_pings: Let the server show that it lives; without it, a long silence counts as a lost connection.
        on_abandon: What becomes of the turn when the stream is left before its end: it goes on at the server
            (`finish`), or is cancelled there (`cancel`).
        request: `messages` or `input`, and any of `letta_adapters.client.controls.Controls`.

    Raises:
        ValueError: As `conversations.messages.create`.
        LettaError: While the stream is read; the tree is in `letta_adapters.errors`.
    """
    turn = create_message(
        "default",
        agent_id=check_agent_id(agent_id),
        background=background,
        stream_tokens=stream_tokens,
        include_pings=include_pings,
        on_abandon=on_abandon,
        **request,
    )
    assert turn.request is not None, "a turn that is sent has a request"
    body = turn.request.model_copy(update={"agent_id": None})
    return replace(turn, request=body, route=Route(send=f"/v1/agents/{agent_id}/messages/stream"))


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
    conversation_id: str,
    *,
    run_id: str | None = None,
    otid: str | None = None,
    starting_after: int = 0,
    agent_id: str | None = None,
    include_pings: bool | None = None,
    poll_interval: float | None = None,
    batch_size: int | None = None,
) -> PreparedTurn:
    """Stream a run that is already at the server; only runs that were started in the background can be attached to.

    Args:
        conversation_id: The conversation, or `default` with `agent_id`.
        run_id: The run; without it, the one of `otid`, or the latest one in flight.
        otid: An otid that the run was sent under.
        starting_after: Number of the last event that is not wanted.
        agent_id: The agent, for `default`.
        include_pings: Whether the server shows that it lives.
        poll_interval: Seconds that the server waits before it looks again for what is new.
        batch_size: Events that it reads at a time.

    Raises:
        ValueError: A number makes no sense.
        LettaError: While the stream is read; the tree is in `letta_adapters.errors`.
    """
    _not_negative(starting_after=starting_after, poll_interval=poll_interval, batch_size=batch_size)
    options = {
        "otid": otid,
        "include_pings": include_pings,
        "poll_interval": poll_interval,
        "batch_size": batch_size,
    }
    return PreparedTurn(
        conversation_id=check_conversation_id(conversation_id, agent_id),
        agent_id=agent_id,
        run_id=run_id,
        starting_after=starting_after,
        route=Route(options={name: value for name, value in options.items() if value is not None}),
    )


class Attaching(TypedDict, total=False):
    """How a run's stream is read again; see `attach_to_run`."""

    starting_after: int
    include_pings: bool | None
    poll_interval: float | None
    batch_size: int | None


def attach_to_recorded_run(run: Run, **how: Unpack[Attaching]) -> PreparedTurn:
    """Stream a run of which there is a record, as `attach_to_run` does; raises `ValueError` as it does."""
    turn = attach_to_run(
        run.conversation_id or "default", agent_id=run.agent_id or "agent-unknown", run_id=run.id, **how
    )
    assert turn.route is not None, "a run is attached to by a route"
    return replace(turn, agent_id=run.agent_id, route=replace(turn.route, attach=f"/v1/runs/{run.id}/stream"))


def _not_negative(**numbers: float | None) -> None:
    for name, value in numbers.items():
        if value is not None and value < 0:
            raise ValueError(f"`{name}` must not be negative, but is {value}.")
