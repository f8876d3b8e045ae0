"""Short words for deliveries: begin one, see what it asks for, answer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.delivery import delivery
from letta_adapters.delivery_steps import Claim, Delivered, Flow, Thread, TurnOptions, TurnOutcome
from letta_adapters.errors import ConversationBusy, NotFound, TurnFailed, TurnInterrupted
from letta_adapters.events import FinishedTurn, Text
from letta_adapters.locks import InFlight, Patience
from letta_adapters.matching import Row
from letta_adapters.memory import TurnMemory
from letta_adapters.planner import Target
from letta_adapters.policies import Policies
from letta_adapters.transcript import Entry, HumanEntry
from letta_adapters.wire import Conversation, MessageCreate, Run, SystemMessage

FOLLOWED = Target(agent_id="agent-1")
PINNED = Target(agent_id="agent-1", conversation_id="conv-1")
ASKED: list[Entry] = [HumanEntry(content="hello", id="h1")]
NAMELESS: list[Entry] = [HumanEntry(content="hello")]
ANSWER = FinishedTurn(
    conversation_id="conv-1",
    agent_id="agent-1",
    run_id="run-1",
    message_ids=("message-1",),
    parts=(Text(index=0, text="hi"),),
    stop_reason="end_turn",
)
PROMPT = SystemMessage(id="message-p", content="You are an agent.")
"""What every conversation begins with."""

GONE = NotFound("gone", status=404)


SERVER = "http://letta.test"


def knowing(head: str = "message-1", conversation_id: str = "conv-1") -> TurnMemory:
    """What a process remembers that gave the last answer of a conversation."""
    memory = TurnMemory()
    memory.keep_head((SERVER, conversation_id), head)
    return memory


def begin(
    transcript: Sequence[Entry] | None = None,
    target: Target = PINNED,
    *,
    server: str = SERVER,
    memory: TurnMemory | None = None,
    options: TurnOptions | None = None,
    policies: Policies | None = None,
    patience: Patience | None = None,
    thread: Thread | None = None,
    anchor_key: str | None = None,
) -> Flow:
    return delivery(
        transcript or ASKED,
        target,
        server=server,
        memory=memory or TurnMemory(),
        options=options,
        policies=policies,
        patience=patience,
        thread=thread,
        anchor_key=anchor_key,
    )


def asked(step: object) -> tuple[str, str]:
    assert isinstance(step, Endpoint), step
    return step.request.method, step.request.path


def query(step: object) -> dict[str, Any]:
    assert isinstance(step, Endpoint), step
    return {name: value for name, value in step.request.query.items() if value is not None}


def sent(step: object) -> PreparedTurn:
    assert isinstance(step, PreparedTurn), step
    return step


def told(step: object) -> list[str]:
    """What a turn says, without the types of it."""
    request = sent(step).request
    assert request is not None
    return [
        str(message.content) if isinstance(message, MessageCreate) else message.type
        for message in request.messages or ()
    ]


def otids(step: object) -> tuple[str, ...]:
    request = sent(step).request
    assert request is not None
    return request.otids


def patience_of(step: object) -> float | None:
    patience = sent(step).patience
    return patience.seconds if patience else None


def conversation(id: str = "conv-2", *in_context: str, summary: str | None = None) -> Conversation:
    return Conversation(id=id, agent_id="agent-1", in_context_message_ids=list(in_context), summary=summary)


def claim(flow: Flow, step: object, *, other: str | None = None, in_flight: Sequence[Run] = ()) -> object:
    """Give the flow the conversation that it claims.

    Args:
        flow: The delivery.
        step: Its claim.
        other: A run of another turn of this process, which may still be under way.
        in_flight: The runs that are listed as under way, if it asks.
    """
    assert isinstance(step, Claim), step
    step = flow.send(InFlight(run_id=other, otids=()) if other is not None else None)
    return flow.send(list(in_flight)) if asks_for_runs(step) else step


def asks_for_runs(step: object) -> bool:
    return isinstance(step, Endpoint) and step.request.path == "/v1/runs/"


def looked(flow: Flow, step: object, *rows: Row) -> object:
    """Let a flow claim its conversation and read it once."""
    assert asked(claim(flow, step))[0] == "GET"
    return flow.send(list(rows))


def ended(turn: FinishedTurn = ANSWER) -> TurnOutcome:
    return TurnOutcome(result=turn, run_id="run-1", replayed=False)


def finish(flow: Flow, turn: FinishedTurn = ANSWER) -> Delivered:
    return returned(flow, ended(turn))


def returned(flow: Flow, answer: object) -> Delivered:
    """What a delivery ends with when it is given its last answer."""
    with pytest.raises(StopIteration) as stopped:
        flow.send(answer)
    return stopped.value.value


def failed(*, replayed: bool = False) -> TurnOutcome:
    error = TurnFailed("it failed", stop_reason="llm_api_error", run_id="run-1")
    return TurnOutcome(result=error, run_id="run-1", replayed=replayed)


def refused() -> TurnOutcome:
    """A refusal before anything ran: the conversation is not there."""
    return TurnOutcome(result=NotFound("gone", status=404), run_id=None, replayed=False)


def interrupted() -> TurnOutcome:
    return TurnOutcome(result=TurnInterrupted("lost", accepted=True), run_id="run-1", replayed=False)


def busy(run_id: str | None = None) -> TurnOutcome:
    return TurnOutcome(result=ConversationBusy("busy", status=409, run_id=run_id), run_id=None, replayed=False)
