"""The language model behind the server: a function from chat to reply, streamed token by token."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from letta_adapters.testing.eager import eager_reply_to
from letta_adapters.testing.errors import ModelError, broken_connection, model_failure
from letta_adapters.testing.frames import DeltaFrames
from letta_adapters.testing.gates import Gates
from letta_adapters.testing.messages import ToolCall, new_id
from letta_adapters.testing.script import COMPLETION_TOKENS, PROMPT_TOKENS, Reply, tokens

__all__ = ["EAGER", "Answer", "BrokenModel", "Model", "ModelPort", "ModelRequest", "Question"]

Model = Callable[[Sequence[dict[str, Any]]], Reply]
"""What plays the language model: OpenAI chat messages in, a reply out."""


EAGER = "vllm/eager"
"""The handle of the scripted model that calls a tool unasked (`letta_adapters.testing.eager`)."""


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What the model saw of one step."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model said in one step, with the ids that the server gives it."""

    message_id: str
    step_id: str
    content: tuple[dict[str, Any], ...]
    calls: tuple[ToolCall, ...]
    prompt_tokens: int = PROMPT_TOKENS
    completion_tokens: int = COMPLETION_TOKENS
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cut_off: bool = False


class BrokenModel(Exception):
    """The connection to the provider broke in the middle of an answer."""

    def __init__(self, cause: ModelError) -> None:
        """Say what becomes of it."""
        super().__init__(cause.detail)
        self.cause = cause


class ModelPort:
    """Asks the model, and remembers what it saw."""

    def __init__(self, *, function: Model, gates: Gates, remembered: int = 1000) -> None:
        """Start with a function that plays the model."""
        self.function = function
        self.requests: deque[ModelRequest] = deque(maxlen=remembered)
        self._gates = gates

    def ask(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        *,
        run_id: str,
        needs_approval: Callable[[str], bool],
        handle: str | None = None,
    ) -> Question:
        """Call the model; its answer is read from the question."""
        self.requests.append(ModelRequest(messages=tuple(messages), tools=tuple(tools)))
        reply = eager_reply_to(messages, tools) if handle == EAGER else self.function(messages)
        return Question(reply, gates=self._gates, run_id=run_id, needs_approval=needs_approval)


class Question:
    """One call of the model: its reply, whole or token by token."""

    def __init__(self, reply: Reply, *, gates: Gates, run_id: str, needs_approval: Callable[[str], bool]) -> None:
        """Give the answer its ids."""
        self._reply = reply
        self._gates = gates
        self._run_id = run_id
        self._needs_approval = needs_approval
        self._message_id = new_id("message")
        self._step_id = new_id("step")
        self._calls = tuple(
            ToolCall(id=f"call_{uuid4().hex[:24]}", name=call.name, arguments=call.arguments) for call in reply.calls
        )

    @property
    def answer(self) -> Answer:
        """The answer as the server keeps it."""
        parts: list[dict[str, Any]] = []
        if self._reply.reasoning:
            parts.append({"type": "reasoning", "reasoning": self._reply.reasoning, "is_native": True})
        if self._reply.text:
            parts.append({"type": "text", "text": self._reply.text})
        return Answer(
            message_id=self._message_id,
            step_id=self._step_id,
            content=tuple(parts),
            calls=self._calls,
            cached_tokens=self._reply.cached_tokens,
            reasoning_tokens=self._reply.reasoning_tokens,
            cut_off=self._reply.cut_off,
        )

    async def whole(self) -> Answer:
        """Wait for the whole answer at once."""
        await self._hold()
        self._fail()
        if self._reply.break_after is not None:
            raise broken_connection(streaming=False)
        return self.answer

    async def deltas(self) -> AsyncIterator[dict[str, Any]]:
        """Give the frames of the answer, token by token, minding gates and breaks on the way.

        Raises:
            BrokenModel: where the script breaks the connection.
        """
        if self._reply.fail is not None:
            await self._hold()
        self._fail()
        frames = list(self._frames())
        for position in range(len(frames) + 1):
            if self._reply.hold is not None and position == min(self._reply.hold.after, len(frames)):
                await self._hold()
            if self._reply.break_after is not None and position == min(self._reply.break_after, len(frames)):
                raise BrokenModel(broken_connection(streaming=True))
            if position < len(frames):
                yield frames[position]

    async def _hold(self) -> None:
        if self._reply.hold is not None:
            await self._gates.pass_through(self._reply.hold.gate)

    def _fail(self) -> None:
        if self._reply.fail is not None:
            raise model_failure(self._reply.fail)

    def _frames(self) -> Iterator[dict[str, Any]]:
        frames = DeltaFrames(message_id=self._message_id, step_id=self._step_id, run_id=self._run_id)
        for token in tokens(self._reply.reasoning):
            yield frames.reasoning(token)
        for token in tokens(self._reply.text):
            yield frames.text(token)
        for call in self._calls:
            waits = self._needs_approval(call.name)
            yield frames.call(call, name=call.name, arguments=None, needs_approval=waits)
            for piece in _thirds(call.arguments):
                yield frames.call(call, name=None, arguments=piece, needs_approval=waits)


def _thirds(text: str) -> list[str]:
    """Cut the arguments of a call as the scripted model behind a real server does."""
    size = max(1, -(-len(text) // 3))
    return [text[start : start + size] for start in range(0, len(text), size)]
