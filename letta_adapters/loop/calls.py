"""The calls of tools that run here: how arguments are read, what results become, what is run when. No I/O, no clock."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, cast

from pydantic_core import to_json

from letta_adapters.events import PendingCall
from letta_adapters.tools import InvalidArguments, Tool
from letta_adapters.wire import ContentPart, ImageContent, TextContent, ToolReturn, text_of

__all__ = [
    "ToolAnswer",
    "Batch",
    "Schedule",
    "Tell",
    "ToolExecution",
    "ToolFinished",
    "ToolRun",
    "ToolStarted",
    "arguments_of",
    "failed",
    "result_content",
    "succeeded",
    "timed_out",
]

_EXCERPT = 200


@dataclass(frozen=True, kw_only=True)
class ToolExecution:
    """A call of a tool and what came of it.

    Args:
        tool_call_id: The call.
        name: The tool.
        arguments: What the agent passed, before it was coerced; `None` when that was no JSON object.
        status: Whether the tool gave a result.
        content: What the agent was told: a text, or parts where there are images among them.
        output: What the function returned; `None` after an error.
        error: What the function raised, or what was wrong with the arguments.
    """

    tool_call_id: str
    name: str
    arguments: dict[str, Any] | None
    status: Literal["success", "error"]
    content: str | list[ContentPart]
    output: Any = None
    error: BaseException | None = None

    @property
    def text(self) -> str:
        """The text of the content."""
        return text_of(self.content)

    def answer(self) -> ToolReturn:
        """The result as the API takes it."""
        return ToolReturn(tool_call_id=self.tool_call_id, tool_return=self.content, status=self.status)


@dataclass(frozen=True, kw_only=True)
class ToolAnswer:
    """What a tool may return instead of a plain value, to say itself what the agent is told.

    Args:
        content: What the agent is told; it is not translated any more.
        status: Whether it is a result or an error.
        output: What stands in the execution as its output.
        error: What stands in the execution as its error.
    """

    content: str | list[ContentPart]
    status: Literal["success", "error"] = "success"
    output: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, kw_only=True)
class ToolStarted:
    """A tool begins to run."""

    call: PendingCall


@dataclass(frozen=True, kw_only=True)
class ToolFinished:
    """A tool gave a result, or failed, or took too long."""

    execution: ToolExecution


Tell = Callable[[ToolStarted | ToolFinished], None]


@dataclass(frozen=True, kw_only=True)
class ToolRun:
    """A call of one of the tools."""

    call: PendingCall
    tool: Tool


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Calls to run in parallel; `finished` is filled as they end, and tells what did when the rest was given up."""

    runs: tuple[ToolRun, ...]
    finished: list[ToolExecution] = field(default_factory=list[ToolExecution])


def result_content(value: Any) -> str | list[ContentPart]:
    """Make what a tool returned into what the agent is told.

    A text stays as it is, `TextContent` and `ImageContent` parts are passed on (texts alone as one text), and what
    has a JSON form is told as JSON: dicts, lists, pydantic models, dataclasses, numbers, `None`; where that is a JSON
    string (dates, enums) without its quotes. Anything else is told as `str` shows it. An empty list is the text `[]`:
    of no parts a server makes a broken conversation (measured on 0.16.8).
    """
    if isinstance(value, str):
        return _clean(value)
    parts: list[Any] = list(cast("list[Any]", value)) if type(value) in (list, tuple) else [value]
    if parts and all(isinstance(part, (TextContent, ImageContent)) for part in parts):
        if not any(isinstance(part, ImageContent) for part in parts):
            return _clean(text_of(parts))
        return [_clean_part(part) for part in parts if isinstance(part, ImageContent) or part.text]
    try:
        told = to_json(value, fallback=str, inf_nan_mode="strings", bytes_mode="base64").decode()
    except (ValueError, TypeError, RecursionError):  # it refers to itself, or is no Unicode
        told = str(value)
    return _clean(json.loads(told) if told.startswith('"') else told)


def _cleaned(content: str | list[ContentPart]) -> str | list[ContentPart]:
    return _clean(content) if isinstance(content, str) else [_clean_part(part) for part in content]


def _clean_part(part: Any) -> ContentPart:
    return part.model_copy(update={"text": _clean(part.text)}) if isinstance(part, TextContent) else part


def _clean(text: str) -> str:
    """Without what cannot be sent (lone surrogates) or what the server would drop (NUL, measured)."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def arguments_of(call: PendingCall) -> dict[str, Any]:
    """Read the arguments of a call; a call without arguments may come with no text at all (measured).

    Raises:
        InvalidArguments: They are something else.
    """
    if not call.arguments.strip():
        return {}
    try:
        arguments: Any = json.loads(call.arguments)
    except (ValueError, RecursionError):
        raise InvalidArguments(f"the arguments are not JSON: {call.arguments[:_EXCERPT]!r}") from None
    if not isinstance(arguments, dict):
        raise InvalidArguments(f"the arguments are no JSON object: {call.arguments[:_EXCERPT]!r}")
    return cast("dict[str, Any]", arguments)


def succeeded(run: ToolRun, arguments: dict[str, Any], value: Any) -> ToolExecution:
    """The execution of a call that gave a result, or said itself what the agent is to be told."""
    told = value if isinstance(value, ToolAnswer) else ToolAnswer(content=result_content(value), output=value)
    return ToolExecution(
        tool_call_id=run.call.tool_call_id,
        name=run.call.name,
        arguments=arguments,
        status=told.status,
        content=_cleaned(told.content),
        output=told.output,
        error=told.error,
    )


def failed(run: ToolRun, arguments: dict[str, Any] | None, error: BaseException) -> ToolExecution:
    """The execution of a call that failed."""
    try:
        message = str(error)
    except Exception:  # somebody's own exception class
        message = ""
    return ToolExecution(
        tool_call_id=run.call.tool_call_id,
        name=run.call.name,
        arguments=arguments,
        status="error",
        content=_clean(f"{type(error).__name__}: {message}" if message else type(error).__name__),
        error=error,
    )


def timed_out(run: ToolRun, seconds: float) -> ToolExecution:
    """The execution of a call that took too long."""
    try:
        arguments = arguments_of(run.call)
    except InvalidArguments:
        arguments = None
    return failed(run, arguments, TimeoutError(f"the tool gave no result within {seconds:g} seconds"))


class Schedule:
    """When to start which call of a batch, and how long to wait for it."""

    def __init__(self, batch: Batch, *, limit: int, timeout: float | None, tokens: count[int]) -> None:
        self._waiting = deque(batch.runs)
        self._running: dict[int, tuple[ToolRun, float]] = {}
        self._limit = limit
        self._timeout = timeout
        self._tokens = tokens

    @property
    def over(self) -> bool:
        """Whether all of them ended."""
        return not self._waiting and not self._running

    @property
    def running(self) -> list[int]:
        """Which are waited for."""
        return list(self._running)

    def start(self, now: float) -> list[tuple[int, ToolRun]]:
        """What can be started now."""
        started: list[tuple[int, ToolRun]] = []
        while self._waiting and len(self._running) < self._limit:
            token, run = next(self._tokens), self._waiting.popleft()
            self._running[token] = run, math.inf if self._timeout is None else now + self._timeout
            started.append((token, run))
        return started

    def patience(self, now: float) -> float | None:
        """Seconds until the next one has taken too long."""
        first = min((deadline for _, deadline in self._running.values()), default=math.inf)
        return None if first == math.inf else max(0.0, first - now)

    def ended(self, token: int) -> bool:
        """Take note of an end; tell whether anybody still waited for it."""
        return self._running.pop(token, None) is not None

    def late(self, now: float) -> list[tuple[int, ToolRun]]:
        """Which have taken too long; they are not waited for any more."""
        late = [(token, run) for token, (run, deadline) in self._running.items() if deadline <= now]
        for token, _ in late:
            del self._running[token]
        return late
