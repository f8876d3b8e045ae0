"""What a turn tells while it runs, on a terminal or as lines of JSON."""

from __future__ import annotations

import re
from typing import Protocol

from pydantic_core import to_jsonable_python
from typing_extensions import assert_never

from letta_adapters.cli.reporting import Output
from letta_adapters.cli.words import STYLES, Speaker, said
from letta_adapters.events import (
    AnswerStarted,
    FinishedTurn,
    HiddenReasoning,
    Notice,
    PendingCall,
    ReasoningDelta,
    ServerToolCall,
    ServerToolResult,
    TextDelta,
    TurnEvent,
    TurnStarted,
)
from letta_adapters.wire import text_of

__all__ = ["JsonLines", "Talk", "Teller"]


class Teller(Protocol):
    """Tells one event after the other."""

    def tell(self, event: TurnEvent) -> None:
        """Tell an event."""
        ...

    def finish(self, turn: FinishedTurn) -> None:
        """Tell that the turn is over."""
        ...

    def break_off(self) -> None:
        """Be ready for other words, where a turn was left or failed."""
        ...


class JsonLines:
    """Every event as a line of JSON: its fields, and its kind as `event`."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def tell(self, event: TurnEvent) -> None:
        """Write an event."""
        self._write(event)

    def finish(self, turn: FinishedTurn) -> None:
        """Write the finished turn."""
        self._write(turn)

    def break_off(self) -> None:
        """Nothing: every line is whole."""

    def _write(self, value: TurnEvent | FinishedTurn) -> None:
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(value).__name__).lower()
        self._output.document({"event": kind, **to_jsonable_python(value)})


class Talk:
    """A turn as people read it: who, then the words as they come."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._speaker: Speaker | None = None

    def tell(self, event: TurnEvent) -> None:
        """Write what an event adds."""
        match event:
            case TextDelta():
                self._go_on("agent", event.text)
            case ReasoningDelta():
                self._go_on("thought", event.text)
            case HiddenReasoning():
                self._line("thought", event.text or f"({event.state})")
            case ServerToolCall() | PendingCall():
                self._line("call", f"{event.name} {event.arguments}")
            case ServerToolResult():
                self._line("result", text_of(event.content))
            case Notice():
                self._line("note", said(event.message).text)
            case TurnStarted() | AnswerStarted():
                pass
            case _:
                assert_never(event)

    def finish(self, turn: FinishedTurn) -> None:
        """End the line; tell why, where it was not the usual end."""
        self.break_off()
        if turn.stop_reason not in ("end_turn", "requires_approval"):
            self._line("note", turn.stop_reason)

    def break_off(self) -> None:
        """Go to a new line, unless it begins one."""
        if self._speaker is not None:
            self._output.say("")
        self._speaker = None

    def _go_on(self, speaker: Speaker, text: str) -> None:
        if self._speaker != speaker:
            self.break_off()
            self._name(speaker)
            self._speaker = speaker
        self._output.say(text, "dim italic" if speaker == "thought" else "", end="")

    def _line(self, speaker: Speaker, text: str) -> None:
        self.break_off()
        self._name(speaker)
        self._output.say(text)

    def _name(self, speaker: Speaker) -> None:
        self._output.say(f"{speaker:<9}", STYLES[speaker], end="")
