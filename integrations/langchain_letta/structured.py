"""An answer that is one tool call: asked for by name when the agent answers in words, and settled at once.

The agent is offered a tool with the schema of the answer. Nobody runs that tool, so the call would stay pending and
the conversation would take nothing but its result. So the call is answered as soon as it is there, in a request that
runs no step of the agent (`max_steps` 1). Without I/O, like the delivery that it is made of.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from letta_adapters.delivery_steps import Delivered, Flow, TurnOptions
from letta_adapters.errors import LettaError
from letta_adapters.events import (
    AnswerStarted,
    FinishedTurn,
    PendingCall,
    Reasoning,
    ReasoningDelta,
    Text,
    TextDelta,
    TurnEvent,
    TurnStarted,
)
from letta_adapters.transcript import Anchor, AssistantEntry, Call, Entry, HumanEntry, ToolEntry
from letta_adapters.wire import UsageStatistics

__all__ = ["ANSWER_SCHEMA", "ANSWER_TOOL", "TAKEN", "Ask", "StructuredAnswer", "atold_whole", "told_whole"]

_LOG = logging.getLogger("langchain_letta")

ANSWER_TOOL = "answer_tool"
"""The argument of a call that names the tool whose call is the answer (`with_structured_output`)."""

ANSWER_SCHEMA = "answer_schema"
"""The argument of such a call that has the schema of the answer, as the caller gave it."""

TAKEN = "The answer was taken."
"""What the agent reads as the result of the call that was its answer, if it is of the form that was asked for."""

_UNREADABLE = "The answer was not taken: "

_NOT_TAKEN = "Only one call is taken as the answer, and it was the first."

Ask = Callable[[Sequence[Entry], TurnOptions, Sequence[str]], Flow]
"""Delivers a transcript: with which options, and naming which tools if it ends with the agent's own words."""

WhyNot = Callable[[PendingCall], str | None]


@dataclass(frozen=True, kw_only=True)
class StructuredAnswer:
    """How a call that is the answer is got.

    Args:
        ask: Delivers a transcript.
        options: How turns are run.
        tool: The tool whose call is the answer.
        why_not: Says why a call is not of the form that was asked for, if it is not.
        signing_key: Signs anchors, where they are signed.
    """

    ask: Ask
    options: TurnOptions
    tool: str
    why_not: WhyNot
    signing_key: str | None = None

    def flow(self, transcript: Sequence[Entry]) -> Flow:
        """Yield what is to be done; return the answer, at an anchor behind its settlement.

        An agent that answers in words twice has its words returned. One that waits for somebody to decide about a
        call of another tool is left waiting: that decision is not taken here.
        """
        given = yield from self.ask(transcript, self.options, (self.tool,))
        if not given.turn.pending:
            transcript = self._asked_again(transcript, given)
            given = yield from self._asked_for_it(transcript, given)
        calls = given.turn.pending
        ours = bool(calls) and all(call.name == self.tool for call in calls)
        return (yield from self._settled(transcript, given)) if ours else given

    def _asked_for_it(self, transcript: Sequence[Entry], words: Delivered) -> Flow:
        try:
            given = yield from self.ask(transcript, self.options, (self.tool,))
        except LettaError as error:
            error.accepted = True  # the question was: whoever asked again would ask it twice
            raise
        return replace(given, turn=replace(given.turn, usage=_both(words.turn.usage, given.turn.usage)))

    def _asked_again(self, transcript: Sequence[Entry], given: Delivered) -> Sequence[Entry]:
        """The transcript with the words; where it goes on in another conversation, with the request to call too."""
        if given.anchor.is_over:
            return [*transcript, _entry(given), HumanEntry(content=f"Answer by calling this tool: {self.tool}.")]
        return [*transcript, _entry(given)]

    def _settled(self, transcript: Sequence[Entry], given: Delivered) -> Flow:
        taken, *others = given.turn.pending
        results = [self._read(taken), *(_result(call, _NOT_TAKEN) for call in others)]
        once = replace(self.options, max_steps=1)
        try:
            settled = yield from self.ask([*transcript, _entry(given), *results], once, ())
        except LettaError as error:
            # The answer is here: not to be lost, and not to be asked for a second time. The next turn settles the call.
            _LOG.warning("The call that was the answer could not be settled, and stays pending: %s", error)
            return given
        return replace(given, anchor=self._behind(settled.anchor, given.anchor))

    def _read(self, call: PendingCall) -> ToolEntry:
        """What the agent is told of its answer."""
        reason = self.why_not(call)
        return _result(call, TAKEN) if reason is None else _result(call, _UNREADABLE + reason, status="error")

    def _behind(self, settled: Anchor, given: Anchor) -> Anchor:
        """The anchor of an answer, moved behind its settlement."""
        anchor = given.model_copy(
            update={
                "message_id": settled.message_id or given.message_id,
                "message_ids": (*given.message_ids, *settled.message_ids),
                "pending": (),
            }
        )
        return anchor.signed(self.signing_key) if self.signing_key else anchor


def _entry(given: Delivered) -> AssistantEntry:
    calls = (
        Call(tool_call_id=call.tool_call_id, name=call.name, arguments=call.arguments) for call in given.turn.pending
    )
    return AssistantEntry(text=given.turn.text, calls=tuple(calls), anchor=given.anchor)


def _result(call: PendingCall, text: str, *, status: Literal["success", "error"] = "success") -> ToolEntry:
    return ToolEntry(tool_call_id=call.tool_call_id, content=text, name=call.name, status=status)


def _both(one: UsageStatistics | None, other: UsageStatistics | None) -> UsageStatistics | None:
    """The tokens of two turns; the context is that of the later one."""
    if one is None or other is None:
        return one or other
    sums = {
        name: (getattr(one, name) or 0) + (getattr(other, name) or 0)
        for name in _SUMMED
        if getattr(one, name) is not None or getattr(other, name) is not None
    }
    return other.model_copy(update=sums)


_SUMMED = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "step_count",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def told_whole(events: Iterator[TurnEvent | Delivered]) -> Generator[TurnEvent | Delivered]:
    """The events of the answer alone, once it is there: which of several turns gives it is known at the end only."""
    for event in events:
        if isinstance(event, Delivered):
            yield from _events_of(event.turn)
            yield event


async def atold_whole(events: AsyncIterator[TurnEvent | Delivered]) -> AsyncGenerator[TurnEvent | Delivered]:
    """The events of the answer alone, once it is there: which of several turns gives it is known at the end only."""
    async for event in events:
        if isinstance(event, Delivered):
            for told in _events_of(event.turn):
                yield told
            yield event


def _events_of(turn: FinishedTurn) -> Generator[TurnEvent]:
    """What a finished turn would have told."""
    if turn.run_id is not None:
        yield TurnStarted(conversation_id=turn.conversation_id, run_id=turn.run_id, otids=turn.otids)
    if turn.answer_id is not None:
        yield AnswerStarted(message_id=turn.answer_id)
    for part in turn.parts:
        match part:
            case Text():
                yield TextDelta(index=part.index, text=part.text)
            case Reasoning():
                yield ReasoningDelta(index=part.index, text=part.text, signature=part.signature)
            case _:
                yield part
