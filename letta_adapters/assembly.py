"""Wire messages in, turn events and the finished turn out.

One turn may run many steps at the server, and its messages come whole or token by token. The `Assembly` orders them
into parts with stable indexes and tells what is new as events. Text is kept in pieces and joined once, so a turn is
linear in its length.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from typing_extensions import assert_never

from letta_adapters.events import (
    AnswerStarted,
    HiddenReasoning,
    Notice,
    PendingCall,
    Reasoning,
    ReasoningDelta,
    ServerToolCall,
    ServerToolResult,
    Text,
    TextDelta,
    TurnDelta,
    TurnEvent,
    TurnPart,
    TurnStarted,
)
from letta_adapters.wire import (
    ApprovalRequestMessage,
    ApprovalResponseMessage,
    AssistantMessage,
    EventMessage,
    HiddenReasoningMessage,
    KnownMessage,
    ReasoningMessage,
    SummaryMessage,
    SystemMessage,
    ToolCall,
    ToolCallDelta,
    ToolCallMessage,
    ToolReturnMessage,
    Unknown,
    UserMessage,
    calls_of,
    returns_of,
    summary_of,
    text_of,
)

__all__ = ["Assembly"]


_LOG = logging.getLogger("letta_adapters")


@dataclass(kw_only=True)
class _OpenText:
    index: int
    pieces: list[str] = field(default_factory=list[str])

    def finish(self) -> Text:
        return Text(index=self.index, text="".join(self.pieces))


@dataclass(kw_only=True)
class _OpenReasoning:
    index: int
    pieces: list[str] = field(default_factory=list[str])
    signature: str | None = None

    def finish(self) -> Reasoning:
        return Reasoning(index=self.index, text="".join(self.pieces), signature=self.signature)


@dataclass(kw_only=True)
class _OpenCall:
    index: int
    tool_call_id: str
    name: str = ""
    pieces: list[str] = field(default_factory=list[str])

    def finish(self) -> ServerToolCall:
        arguments = "".join(self.pieces)
        return ServerToolCall(index=self.index, tool_call_id=self.tool_call_id, name=self.name, arguments=arguments)


@lru_cache(maxsize=256)
def _tell_once(message_type: str) -> None:
    _LOG.warning("The server sent a message of type %r, which this version does not know; it is kept.", message_type)


class Assembly:
    """Order the messages of one turn into parts.

    Args:
        own_results: Ids of the calls that this request answers. The server echoes their results, and they are no
            part of what comes back.
    """

    def __init__(self, *, own_results: Collection[str] = ()) -> None:
        self._own_results = frozenset(own_results)
        self._parts: list[TurnPart | _OpenText | _OpenReasoning | _OpenCall] = []
        self._texts: dict[tuple[str, str | None], _OpenText] = {}
        self._reasonings: dict[tuple[str, str | None], _OpenReasoning] = {}
        self._server_calls: dict[str, _OpenCall] = {}
        self._pending: dict[str, _OpenCall] = {}
        self._untold: list[_OpenCall] = []  # server calls whose arguments may still be arriving
        self._untold_step: str | None = None  # id of the message that they belong to
        self._message_ids: dict[str, str | None] = {}  # with their steps
        self._asked_in: str | None = None  # id of the message that asks for approval
        self._latest_id: str | None = None  # of the message before, which has its name
        self._latest_type: type[KnownMessage] | None = None
        self.answer_id: str | None = None

    @property
    def pending_ids(self) -> tuple[str, ...]:
        """Ids of the calls that were streamed as pending; the server may keep fewer."""
        return tuple(self._pending)

    @property
    def message_ids(self) -> tuple[str, ...]:
        """Ids of the messages so far, in order; a summary that is made while calls wait stands before them."""
        return tuple(sorted(self._message_ids, key=lambda one: one == self._asked_in))

    @property
    def partial_text(self) -> str:
        """The text that has arrived."""
        return "".join("".join(part.pieces) for part in self._parts if isinstance(part, _OpenText))

    def feed(self, message: KnownMessage | Unknown) -> Sequence[TurnEvent]:
        """Take one message, or one delta of it, and tell what is new."""
        if isinstance(message, Unknown):
            return self._part(message)
        if message.id == self._latest_id and type(message) is self._latest_type:
            return self._part(message)  # the next token of the same message, as nearly everything is
        events: list[TurnEvent] = []
        if self.answer_id is None and self._is_answer(message):
            self.answer_id = message.id
            events.append(AnswerStarted(message_id=message.id))
        self._name(message)
        named = self.answer_id is not None and not isinstance(message, ApprovalRequestMessage)  # its step may come late
        self._latest_id, self._latest_type = message.id if named else None, type(message)
        # Of deltas the end shows only in what comes next; a step's own text may come in between.
        if self._untold and message.id != self._untold_step:
            events += self._told_calls()
        return [*events, *self._part(message)]

    def _is_answer(self, message: KnownMessage) -> bool:
        """Whether a message came back, and is no echo of what was sent."""
        if isinstance(message, ToolReturnMessage):
            return any(result.tool_call_id not in self._own_results for result in returns_of(message))
        return not isinstance(message, (UserMessage, SystemMessage, ApprovalResponseMessage, EventMessage))

    def _name(self, message: KnownMessage) -> None:
        """Keep the id, unless it is that of an event, which no conversation stores.

        A step that asks for approval is stored under that request's id alone (measured).
        """
        if isinstance(message, EventMessage):
            return
        if isinstance(message, ApprovalRequestMessage):
            self._asked_in = message.id
            if message.step_id is not None:
                renamed = [id for id, step in self._message_ids.items() if step == message.step_id and id != message.id]
                for id in renamed:
                    del self._message_ids[id]
        self._message_ids.setdefault(message.id, message.step_id)

    def _part(self, message: KnownMessage | Unknown) -> list[TurnDelta]:
        match message:
            case AssistantMessage():
                return self._text(message)
            case ReasoningMessage():
                return self._reasoning(message)
            case ToolCallMessage():
                return self._server_call(message)
            case ApprovalRequestMessage():
                self._pending_call(message)
                return []
            case ToolReturnMessage():
                return self._server_results(message)
            case HiddenReasoningMessage():
                part = HiddenReasoning(index=len(self._parts), state=message.state, text=message.hidden_reasoning)
                return [self._add(part)]
            case SummaryMessage() | EventMessage() | Unknown():
                return self._notice(message)
            case UserMessage() | SystemMessage() | ApprovalResponseMessage():
                summary = summary_of(message)  # anything else is what was sent, not what came back
                return self._notice(summary) if summary else []
            case _:
                assert_never(message)

    def _notice(self, message: SummaryMessage | EventMessage | Unknown) -> list[TurnDelta]:
        if isinstance(message, Unknown):
            _tell_once(message.message_type)
        return [self._add(Notice(index=len(self._parts), message=message))]

    def finish(self, kept: Collection[str] | None = None) -> list[TurnDelta]:
        """Close every part and tell the calls that are left.

        Args:
            kept: Ids of the pending calls that the server kept; `None` for all.
        """
        events = self._told_calls()
        for call in self._pending.values():
            if kept is None or call.tool_call_id in kept:
                whole = call.finish()
                events.append(
                    self._add(
                        PendingCall(
                            index=len(self._parts),
                            tool_call_id=whole.tool_call_id,
                            name=whole.name,
                            arguments=whole.arguments,
                        )
                    )
                )
        return events

    def parts(self) -> tuple[TurnPart, ...]:
        """The finished parts, in order."""
        return tuple(
            part.finish() if isinstance(part, (_OpenText, _OpenReasoning, _OpenCall)) else part for part in self._parts
        )

    def replaced_by(self, rows: Iterable[KnownMessage | Unknown]) -> tuple[Assembly, list[TurnEvent]]:
        """Put the stored rows of a turn that ended in the place of what was streamed of it.

        Returns:
            The whole turn, and what of it was not told yet.

        Raises:
            ValueError: The rows contradict what was told already.
        """
        stored = Assembly(own_results=self._own_results)
        told = self.parts()
        untold = {call.index for call in self._untold}
        news: list[TurnEvent] = []
        for row in rows:
            stored._put_back(told)
            news.extend(stored.feed(row))
        stored._put_back(told)
        news.extend(stored._told_calls())
        events: list[TurnEvent] = []
        for event in news:
            if isinstance(event, (TurnStarted, AnswerStarted)):
                if self.answer_id is None:
                    events.append(event)
            elif event.index >= len(told) or event.index in untold:
                events.append(event)
            elif rest := _rest(event, told[event.index]):
                events.append(rest)
        if len(stored._parts) < len(told):
            raise ValueError("the server stored less than it streamed")
        stored.answer_id = self.answer_id or stored.answer_id
        return stored, events

    def _put_back(self, told: Sequence[TurnPart]) -> None:
        """Keep the place of an event, which was streamed and is not stored."""
        for part in told[len(self._parts) :]:
            if not (isinstance(part, Notice) and isinstance(part.message, EventMessage)):
                return
            self._add(part)

    def _add(self, part: HiddenReasoning | ServerToolResult | PendingCall | Notice) -> TurnDelta:
        self._parts.append(part)
        return part

    def _text(self, message: AssistantMessage) -> list[TurnDelta]:
        text = message.content
        if not isinstance(text, str):
            text = text_of(text)
        if not text:
            return []
        key = (message.id, message.otid)
        part = self._texts.get(key)
        if part is None:
            part = self._texts[key] = _OpenText(index=len(self._parts))
            self._parts.append(part)
        part.pieces.append(text)
        return [TextDelta(index=part.index, text=text)]

    def _reasoning(self, message: ReasoningMessage) -> list[TurnDelta]:
        if not message.reasoning and not message.signature:
            return []
        key = (message.id, message.otid)
        part = self._reasonings.get(key)
        if part is None:
            part = self._reasonings[key] = _OpenReasoning(index=len(self._parts))
            self._parts.append(part)
        part.pieces.append(message.reasoning)
        part.signature = message.signature or part.signature
        return [ReasoningDelta(index=part.index, text=message.reasoning, signature=message.signature)]

    def _server_call(self, message: ToolCallMessage) -> list[TurnDelta]:
        for call in calls_of(message):
            part = _extend(self._server_calls, call, index=len(self._parts))
            if part is not None and part.index == len(self._parts):
                self._parts.append(part)
                self._untold.append(part)
                self._untold_step = message.id
        return self._told_calls() if isinstance(message.tool_calls, list) else []

    def _pending_call(self, message: ApprovalRequestMessage) -> None:
        for call in calls_of(message):
            _extend(self._pending, call, index=-1)

    def _server_results(self, message: ToolReturnMessage) -> list[TurnDelta]:
        return [
            self._add(
                ServerToolResult(
                    index=len(self._parts),
                    tool_call_id=result.tool_call_id,
                    content=result.tool_return,
                    status=result.status,
                    stdout=result.stdout,
                    stderr=result.stderr,
                )
            )
            for result in returns_of(message)
            if result.tool_call_id not in self._own_results
        ]

    def _told_calls(self) -> list[TurnDelta]:
        if not self._untold:
            return []
        told: list[TurnDelta] = [call.finish() for call in self._untold]
        self._untold.clear()
        return told


def _extend(calls: dict[str, _OpenCall], call: ToolCall | ToolCallDelta, *, index: int) -> _OpenCall | None:
    """Add a call or a piece of one; a piece without an id continues the latest call."""
    call_id = call.tool_call_id or next(reversed(calls), None)
    if call_id is None:
        return None
    part = calls.get(call_id)
    if part is None:
        part = calls[call_id] = _OpenCall(index=index, tool_call_id=call_id)
    part.name = part.name or call.name or ""
    if call.arguments:
        part.pieces.append(call.arguments)
    return part


def _rest(stored: TurnDelta, told: TurnPart) -> TurnDelta | None:
    """What is new in a part of which the beginning was told; NUL characters are streamed, and not stored (measured)."""
    match stored, told:
        case TextDelta(), Text() if stored.text.startswith(begun := told.text.replace("\0", "")):
            text = stored.text[len(begun) :]
            return TextDelta(index=stored.index, text=text) if text else None
        case ReasoningDelta(), Reasoning() if stored.text.startswith(begun := told.text.replace("\0", "")):
            text = stored.text[len(begun) :]
            signature = None if told.signature else stored.signature
            return ReasoningDelta(index=stored.index, text=text, signature=signature) if text or signature else None
        case _ if type(stored) is type(told):
            return None
        case _:
            raise ValueError(f"part {stored.index} was streamed otherwise than it was stored")
