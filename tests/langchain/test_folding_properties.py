"""Whatever a turn is made of, its message, its joined chunks and its protocol events tell the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_protocol.protocol import MessagesData
from typing_extensions import override

from langchain_letta.events import Chunks, message_from
from langchain_letta.protocol_events import ProtocolEvents
from letta_adapters.assembly import Assembly
from letta_adapters.delivery_steps import Delivered
from letta_adapters.events import FinishedTurn, TurnEvent, TurnStarted
from letta_adapters.transcript import Anchor, anchor_of
from letta_adapters.wire import (
    ApprovalRequestMessage,
    AssistantMessage,
    HiddenReasoningMessage,
    KnownMessage,
    ReasoningMessage,
    SummaryMessage,
    ToolCallDelta,
    ToolCallMessage,
    ToolReturn,
    ToolReturnMessage,
    Unknown,
    UsageStatistics,
)
from tests.langchain.support import fold

CALLS = ("tool_call", "tool_call_chunk", "invalid_tool_call")
BOUND = frozenset({"add", "multiply"})
Frame = KnownMessage | Unknown

WORDS = st.lists(st.text(max_size=6), min_size=1, max_size=3)
ARGUMENTS = st.sampled_from(['{"a": 1, "b": [2]}', "{}", "", '{"a": 1', "nonsense", '"text"', "[1]", '{"ü": "\\n"}'])
COUNTS = st.none() | st.integers(min_value=0, max_value=9)
USAGES = st.none() | st.builds(
    UsageStatistics,
    prompt_tokens=st.integers(min_value=0, max_value=9),
    completion_tokens=st.integers(min_value=0, max_value=9),
    total_tokens=st.integers(min_value=0, max_value=18),
    step_count=st.integers(min_value=1, max_value=3),
    context_tokens=COUNTS,
    cached_input_tokens=COUNTS,
    cache_write_tokens=COUNTS,
    reasoning_tokens=COUNTS,
)
ODD: list[Frame] = [
    Unknown(raw={"message_type": "weather_message", "id": "message-w", "wind": [1, 2]}),
    SummaryMessage(id="message-c", summary="They spoke of tea."),
    HiddenReasoningMessage(id="message-h", state="redacted", hidden_reasoning="xyz"),
    HiddenReasoningMessage(id="message-h", state="omitted"),
]


def pieces(text: str) -> list[str]:
    """The arguments of a call, bit by bit."""
    return [text[:3], text[3:]] if len(text) > 3 else [text]


@st.composite
def steps(draw: st.DrawFn, number: int) -> list[Frame]:
    """One step of the agent: what it thinks and says, and the calls that the server runs, in any order.

    The arguments of a call may go on to arrive after what the step says meanwhile, not after other messages.
    """
    id, frames, late = f"message-{number}", list[Frame](), list[Frame]()
    calls: list[str] = []
    for part in range(draw(st.integers(min_value=0, max_value=5))):
        otid = f"o-{number}-{part}"
        match draw(st.sampled_from(["text", "text", "reasoning", "call", "odd"])):
            case "text":
                frames += [AssistantMessage(id=id, otid=otid, content=words) for words in draw(WORDS)]
            case "reasoning":
                signatures = st.sampled_from([None, None, "s1", "s2"])
                frames += [
                    ReasoningMessage(id=id, otid=otid, reasoning=words, signature=draw(signatures))
                    for words in draw(WORDS)
                ]
            case "call":
                calls.append(f"call-{number}-{part}")
                first, *rest = (call_delta(ToolCallMessage, id, calls[-1], one) for one in pieces(draw(ARGUMENTS)))
                frames.append(first)
                (late if draw(st.booleans()) else frames).extend(rest)
            case _:
                frames += [*late, draw(st.sampled_from(ODD))]
                late.clear()
    return [*frames, *late, *(returned(number, call_id) for call_id in calls)]


def call_delta(kind: Any, id: str, call_id: str, piece: str, name: str = "search") -> Frame:
    delta = ToolCallDelta(name=name, arguments=piece, tool_call_id=call_id)
    return kind(id=id, otid=id, tool_call=delta, tool_calls=delta)


def returned(number: int, call_id: str) -> ToolReturnMessage:
    one = ToolReturn(tool_call_id=call_id, tool_return="green", status="success", stdout=["out"])
    return ToolReturnMessage(
        id=f"message-r{number}", tool_call_id=call_id, tool_return="green", status="success", tool_returns=[one]
    )


@st.composite
def turns(draw: st.DrawFn) -> tuple[list[TurnEvent], Delivered]:
    """The events of a turn, as they come out of random frames, and its end."""
    frames = [frame for number in range(draw(st.integers(0, 3))) for frame in draw(steps(number))]
    asked = draw(st.lists(st.tuples(st.sampled_from(["add", "multiply", "shout"]), ARGUMENTS), max_size=3))
    for position, (name, arguments) in enumerate(asked):
        for piece in pieces(arguments):
            call_id = f"call-p{position}"
            frames.append(call_delta(ApprovalRequestMessage, "message-9", call_id, piece, name))
    assembly = Assembly()
    events: list[TurnEvent] = [TurnStarted(conversation_id="conv-1", run_id="run-1", otids=("otid-1",))]
    for frame in frames:
        events += assembly.feed(frame)
    kept = draw(st.none() | st.just([f"call-p{position}" for position in range(len(asked))][:1]))
    events += assembly.finish(kept)
    turn = FinishedTurn(
        conversation_id="conv-1",
        agent_id="agent-1",
        run_id="run-1",
        answer_id=assembly.answer_id,
        message_ids=assembly.message_ids,
        otids=("otid-1",),
        parts=assembly.parts(),
        stop_reason="requires_approval" if asked else "end_turn",
        usage=draw(USAGES),
    )
    return events, Delivered(turn=turn, anchor=anchor_of(turn, system_hash=None))


def begun(conversation_id: str, run_id: str | None) -> Anchor:
    return Anchor(conversation_id=conversation_id, run_id=run_id)


class Played(BaseChatModel):
    """A model that plays one turn, the three ways in which LangChain asks for it."""

    events: list[Any]
    end: Any

    @property
    @override
    def _llm_type(self) -> str:
        return "played"

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = message_from(self.end, begun, model_name="m", bound=BOUND)
        return ChatResult(generations=[ChatGeneration(message=message)])

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        chunks = Chunks(begun, bound=BOUND, model_name="m", output_version=self.output_version)
        for event in (*self.events, self.end):
            if chunk := chunks.from_event(event):
                yield chunk

    def _stream_chat_model_events(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[MessagesData]:
        told = ProtocolEvents(begun, model_name="m", bound=BOUND)
        for event in (*self.events, self.end):
            yield from told.from_event(event)


def plain(message: AIMessage) -> dict[str, Any]:
    """What a message says.

    LangChain numbers the blocks, words the errors of broken calls and puts calls among the blocks in ways of its own.
    """
    blocks = [{name: field for name, field in block.items() if name != "index"} for block in message.content_blocks]
    return {
        "blocks": [block for block in blocks if block["type"] not in CALLS],
        "blocks of calls": [block for block in blocks if block["type"] == "tool_call"],
        "calls": message.tool_calls,
        "invalid": [(call["id"], call["name"], call["args"]) for call in message.invalid_tool_calls],
        "usage": message.usage_metadata,
        "metadata": {k: v for k, v in message.response_metadata.items() if k != "output_version"},
        "id": message.id,
    }


each_version = pytest.mark.parametrize("version", ["v0", "v1"])


@each_version
@settings(max_examples=60)
@given(turn=turns())
def test_joined_chunks_are_the_message(turn: tuple[list[TurnEvent], Delivered], version: str) -> None:
    model = Played(events=turn[0], end=turn[1], output_version=version)
    assert plain(fold(model.stream("x"))) == plain(model.invoke("x"))


@each_version
@settings(max_examples=60)
@given(turn=turns())
def test_protocol_events_tell_the_message(turn: tuple[list[TurnEvent], Delivered], version: str) -> None:
    model = Played(events=turn[0], end=turn[1], output_version=version)
    told = cast("Any", model).stream_events("x", version="v3").output
    assert plain(told) == plain(model.invoke("x"))
