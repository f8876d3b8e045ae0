"""One turn: steps of model call, tools and checkpoint, until the model is done or a tool call must be answered.

Nothing of a step is stored before the step is over; so a step that fails leaves no trace, and the input of the
request is stored with the first step that succeeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from letta_adapters.testing.compaction import (
    CompactionSettings,
    check_prompt,
    compacted,
    compaction_frames,
    is_full,
)
from letta_adapters.testing.errors import ApiError, ModelError, PromptOverflow
from letta_adapters.testing.frames import CANCELLED, DONE, ending, error_frame, stop_reason, usage_statistics
from letta_adapters.testing.gates import GateClosed
from letta_adapters.testing.messages import (
    Denial,
    StoredMessage,
    ToolCall,
    ToolReturn,
    minus_one,
    new_id,
    now,
)
from letta_adapters.testing.model import Answer, BrokenModel, ModelPort
from letta_adapters.testing.pending import admitted
from letta_adapters.testing.prompt import chat_messages, function_tools
from letta_adapters.testing.results import denied, other_half, result_of, rewritten, tool_message, within
from letta_adapters.testing.rows import rows_of_all
from letta_adapters.testing.runs import Run
from letta_adapters.testing.server_tools import Outcome, read_arguments
from letta_adapters.testing.state import Agent, Conversation, Store
from letta_adapters.testing.token_data import TokenData
from letta_adapters.testing.turn_request import TurnRequest

__all__ = ["Turn"]

_HIDDEN = "An unknown error occurred with the LLM streaming request."


class _Cancelled(Exception):
    """Somebody cancelled the run; `frame` is what was about to be sent."""

    def __init__(self, frame: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.frame = frame


@dataclass(frozen=True, kw_only=True)
class _Step:
    """What a step made: messages to store, whether to go on, and why not."""

    step_id: str
    new: list[StoredMessage]
    stop: str | None = None


class Turn:
    """Runs one request of a conversation."""

    def __init__(
        self,
        *,
        store: Store,
        model: ModelPort,
        agent: Agent,
        conversation: Conversation,
        request: TurnRequest,
        run: Run,
        streams: bool,
        cloud: bool,
    ) -> None:
        """Prepare a turn; nothing happens before it is played."""
        self._store = store
        self._model = model
        self._agent = agent
        self._conversation = conversation
        self._request = request
        self._run = run
        self._streams = streams
        handle = request.override_model or conversation.model or agent.model
        self._tokens = TokenData(request, handle=handle, streams_tokens=self._streams_tokens)
        self._model_handle = handle
        self._cloud = cloud
        self._client_tools = [tool.model_dump() for tool in request.client_tools or ()]
        self._context: list[StoredMessage] = []
        self._made: list[StoredMessage] = []
        self._stop = "end_turn"
        self._sent_any = False

    async def stream(self) -> None:
        """Play the turn into the run's channel; every failure becomes frames."""
        run = self._run
        run.status = "running"
        try:
            await self._play()
            for frame in (*ending(self._stop, cloud=self._cloud), self._usage()):
                await self._send(frame, always=True)
            run.finish(self._stop, status="completed")
            run.send(DONE, last=True)
        except _Cancelled as cancelled:
            self._end_cancelled(cancelled.frame)
        except GateClosed:
            run.finish("error")
        except ModelError as error:
            self._fail("llm_api_error", *error.in_stream, error.detail)
        except PromptOverflow as error:
            self._fail(error.reason, error.reason, error.message, error.detail, named=True)
        except ApiError as error:
            self._fail("error", "internal_error", error.detail if error.own else _HIDDEN, error.detail)
        except Exception as error:  # as the server does; here it is a model or a tool of the test that is wrong
            self._fail("error", "internal_error", _HIDDEN, str(error) or repr(error))

    def _end_cancelled(self, frame: dict[str, Any] | None) -> None:
        """End as the server does it: without the end mark in foreground, and a frame too late without pings."""
        run = self._run
        if run.background:
            run.send(CANCELLED)
            run.send(DONE, last=True)
        elif self._request.include_pings or frame is None:
            run.send(CANCELLED, last=True)
        else:
            run.send(CANCELLED)
            run.send(frame, last=True)

    async def answer(self) -> dict[str, Any]:
        """Play the turn and give the JSON response of a request that does not stream."""
        await self._play()
        shown = rows_of_all(self._made, types=self._request.include_return_message_types)
        return {
            "messages": shown,
            "stop_reason": stop_reason(self._stop),
            "usage": self._usage(),
            "logprobs": self._tokens.logprobs,
            "turns": self._tokens.turns or None,
        }

    def _usage(self) -> dict[str, Any]:
        usage = self._run.usage
        return usage_statistics(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            step_count=usage.step_count,
            context_tokens=usage.context_tokens,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            details=0 if usage.step_count and not self._streams_tokens and not self._tokens.has_ids else None,
        )

    def _fail(self, reason: str, error_type: str, message: str, detail: str, *, named: bool = False) -> None:
        """End the stream with an error; once something was sent, the server says less and forgets the end mark."""
        run = self._run
        run.send(stop_reason(reason))
        if self._sent_any and not named:
            error_type, message = "internal_error", "An error occurred during agent execution."
        frame = error_frame(run_id=run.id, error_type=error_type, message=message, detail=detail)
        ends_here = run.background or self._sent_any
        run.finish(reason, status=None if run.background or not self._sent_any else "completed", error=frame)
        run.send(frame, name="error", last=ends_here)
        if not ends_here:
            run.send(DONE, last=True)

    async def _play(self) -> None:
        self._context = self._store.context(self._conversation)
        inputs = admitted(self._request, self._context)
        follow_ups: list[StoredMessage] = []
        if inputs[0].role == "approval":
            inputs, follow_ups = [within(inputs[0], self._agent.tool_result_cap)], inputs[1:]
        for number in range(self._request.max_steps):
            if number == 1 and follow_ups:
                inputs = follow_ups
            stop = await self._play_step(inputs)
            inputs = []
            if stop is not None:
                self._stop = stop
                return
        self._stop = "max_steps" if self._request.max_steps else "end_turn"

    async def _play_step(self, inputs: list[StoredMessage]) -> str | None:
        messages = [*self._context, *inputs]
        if len(messages) > 1 and messages[-2].is_approval_request and messages[-1].is_approval_response:
            step = self._settle(messages)
            self._checkpoint(step, inputs)
            # Where it streams tokens, the server echoes results only if it ran a tool itself.
            ran = any(isinstance(answer, Denial) and answer.approve for answer in messages[-1].approvals)
            if not self._streams_tokens or ran or other_half(messages) is not None:
                try:
                    await self._send_rows(step.new)
                except ApiError:
                    if not self._streams:
                        raise
                    return "error"  # nothing more: the server swallows that it cannot show the results
            return step.stop
        if self._run.status == "cancelled":
            raise _Cancelled
        answer = await self._ask(messages)
        step = self._handle(answer)
        self._checkpoint(step, inputs)
        whole = not self._streams_tokens
        await self._send_rows(step.new if whole else [m for m in step.new if m.role == "tool"])
        tokens = answer.prompt_tokens + answer.completion_tokens
        if is_full(self._agent, tokens):
            check_prompt(self._agent, self._context[0])
            await self._compact(step, tokens)
        return step.stop

    async def _compact(self, step: _Step, tokens: int) -> None:
        """Replace the context by a summary, this step's messages too; where that fails the turn goes on without."""
        stats = {
            "trigger": "post_step_context_check",
            "context_tokens_before": tokens,
            "context_tokens_after": tokens,
            "context_window": self._agent.context_window,
        }
        try:
            made = await compacted(self._model, self._context, CompactionSettings(mode="all"), stats=stats)
        except (ApiError, ModelError):
            return
        made = made.of_run(self._run.id, step_id=step.step_id, otid=str(uuid4()))
        told = self._request.include_compaction_messages
        for frame in compaction_frames(made, stats, told=told, cloud=self._cloud):
            await self._send(frame, always=True)
        self._store.checkpoint(self._conversation, [made.summary], made.context)
        self._context = made.context
        self._made.append(made.summary)

    @property
    def _streams_tokens(self) -> bool:
        return self._streams and self._request.stream_tokens

    async def _ask(self, messages: Sequence[StoredMessage]) -> Answer:
        cap = self._agent.tool_result_cap
        chat = chat_messages(
            messages, override_system=self._request.override_system, cap=cap, skills=self._request.client_skills or ()
        )
        tools = function_tools(self._agent, self._client_tools)
        needs_approval, handle = self._needs_approval, self._model_handle
        asked = self._model.ask(chat, tools, run_id=self._run.id, needs_approval=needs_approval, handle=handle)
        try:
            if not self._streams_tokens:
                answer = await asked.whole()
            else:
                async for frame in asked.deltas():
                    await self._send(frame)
                answer = asked.answer
        except BrokenModel as error:
            if self._streams_tokens:
                await self._send(stop_reason("error"))
            raise error.cause from error
        answer = self._tokens.heard(answer)
        self._run.step_ids.append(answer.step_id)
        self._run.usage.add(
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            cached_tokens=answer.cached_tokens,
            reasoning_tokens=answer.reasoning_tokens,
        )
        return answer

    def _needs_approval(self, name: str) -> bool:
        return name in self._agent.needs_approval or any(tool["name"] == name for tool in self._client_tools)

    def _handle(self, answer: Answer) -> _Step:
        calls = answer.calls if self._agent.parallel_tool_calls else answer.calls[:1]
        if not calls:
            new = [self._assistant(answer, calls=None)] if answer.content else []
            cut_off = answer.cut_off and not self._streams_tokens  # token by token nobody is told
            stop = "max_tokens_exceeded" if cut_off else "end_turn"
            return _Step(step_id=answer.step_id, new=new, stop=stop)
        waiting = [call for call in calls if self._needs_approval(call.name)]
        running = [call for call in calls if not self._needs_approval(call.name)]
        if waiting:
            new = [self._assistant(answer, calls=running)] if running else []
            new.append(self._approval_request(answer, waiting, with_content=not running))
            return _Step(step_id=answer.step_id, new=new, stop="requires_approval")
        outcomes = [self._run_tool(call) for call in calls]
        done = [replace(call, arguments=rewritten(call.arguments)) for call in calls]
        returns = [result_of(call, outcome) for call, outcome in zip(calls, outcomes, strict=True)]
        new = [self._assistant(answer, calls=done), tool_message(returns, name=calls[0].name)]
        ends = any(call.name in self._agent.exit_tools for call in calls)
        return _Step(step_id=answer.step_id, new=new, stop="tool_rule" if ends else None)

    def _assistant(self, answer: Answer, *, calls: Sequence[ToolCall] | None) -> StoredMessage:
        return StoredMessage(
            id=answer.message_id,
            role="assistant",
            content=answer.content,
            tool_calls=tuple(calls) if calls is not None else None,
            created_at=now(),
        )

    def _approval_request(self, answer: Answer, calls: Sequence[ToolCall], *, with_content: bool) -> StoredMessage:
        message_id = minus_one(answer.message_id)
        return StoredMessage(
            id=message_id,
            role="approval",
            content=answer.content if with_content else (),
            tool_calls=tuple(calls),
            otid=message_id,
            created_at=now(),
        )

    def _run_tool(self, call: ToolCall, *, approved: bool = False) -> Outcome:
        tool = self._agent.tools.get(call.name)
        if tool is None and approved:
            return Outcome(status="error", value="Tool not found")
        if tool is None:
            names = [schema["function"]["name"] for schema in function_tools(self._agent, self._client_tools)]
            text = f"[ToolConstraintError] Cannot call {call.name}, valid tools include: {names}."
            return Outcome(status="error", value=text)
        return tool.run(read_arguments(call.arguments))

    def _settle(self, messages: Sequence[StoredMessage]) -> _Step:
        request, response = messages[-2], messages[-1]
        requested = list(request.tool_calls or ())
        decisions = {a.tool_call_id: a for a in response.approvals if isinstance(a, Denial)}
        by_message_id = decisions.pop(request.id, None)
        if by_message_id is not None:
            decisions[requested[0].id] = by_message_id
        approved = [call for call in requested if call.id in decisions and decisions[call.id].approve]
        half = other_half(messages)
        to_run = [*approved, *((half.tool_calls or ()) if half else ())]
        returns = [answer for answer in response.approvals if isinstance(answer, ToolReturn)]
        returns += [
            denied(call, decisions[call.id].reason)
            for call in requested
            if call.id in decisions and not decisions[call.id].approve
        ]
        returns += [result_of(call, self._run_tool(call, approved=True)) for call in to_run]
        message = tool_message(returns, name=to_run[0].name if to_run else None)
        return _Step(step_id=request.step_id or new_id("step"), new=[message])

    def _checkpoint(self, step: _Step, inputs: Sequence[StoredMessage]) -> None:
        marked = [replace(m, step_id=step.step_id, run_id=self._run.id) for m in (*inputs, *step.new)]
        self._context = [*self._context, *marked]
        self._store.checkpoint(self._conversation, marked, self._context)
        self._made += marked[len(inputs) :]
        step.new[:] = marked[len(inputs) :]
        self._tokens.ran(step.new)

    async def _send_rows(self, messages: Sequence[StoredMessage]) -> None:
        for frame in rows_of_all(messages):
            await self._send(frame)

    async def _send(self, frame: dict[str, Any], *, always: bool = False) -> None:
        """Send a frame if the client wants its type, and let the connection take it before the next one is made."""
        if not self._streams:
            return
        if self._run.status == "cancelled":
            raise _Cancelled(frame)
        if always or self._request.wants(frame["message_type"]):
            self._run.send(frame)
            self._sent_any = True
        await asyncio.sleep(0)
