"""Who may run when: locks, replay of repeated requests, background runs, resuming and cancelling.

What a real server keeps in Redis is a few dicts here; without Redis they are simply not used.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from letta_adapters.testing.errors import (
    USER_ID,
    ApiError,
    ModelError,
    busy,
    handle_not_found,
    invalid_argument,
    no_active_runs,
    not_found,
    redis_missing,
    run_not_found,
)
from letta_adapters.testing.frames import ping
from letta_adapters.testing.gates import GateClosed, Gates
from letta_adapters.testing.messages import now
from letta_adapters.testing.model import ModelPort
from letta_adapters.testing.pending import admitted
from letta_adapters.testing.prompt import chat_messages, function_tools
from letta_adapters.testing.runs import Run
from letta_adapters.testing.state import Agent, Conversation, Store
from letta_adapters.testing.turn import Turn
from letta_adapters.testing.turn_request import StreamRequest, TurnRequest

__all__ = ["Engine"]

RUN_ID = r"^run-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"

_NO_TOKENS = {"return_logprobs": False, "return_token_ids": False}
"""What only the agent's endpoint heeds, in a request that does not stream."""


class Engine:
    """Starts turns and lets connections read them."""

    def __init__(
        self,
        *,
        store: Store,
        gates: Gates,
        model: ModelPort,
        redis: bool,
        ping_every: float,
        handles: Sequence[str],
        cloud: bool,
    ) -> None:
        """Start with nothing running."""
        self.store = store
        self.gates = gates
        self.model = model
        self.redis = redis
        self.ping_every = ping_every
        self.handles = tuple(handles)
        self.cloud = cloud
        self.runs: dict[str, Run] = {}
        self._locks: dict[str, str] = {}
        self._run_by_otid: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def open_stream(
        self, agent: Agent, conversation: Conversation, request: TurnRequest, *, locks: bool = True
    ) -> AsyncIterator[str]:
        """Start a turn, or find the run of the same request, and give its frames.

        Raises:
            ApiError: the conversation is busy, the model is unknown, or the server has no Redis for a background run.
        """
        self.check_handle(request.override_model)
        token = _token(request.otids)
        key = _lock_key(agent, conversation) if locks and self.redis else None
        if key is not None and request.background and token in self._run_by_otid:
            return self._read(self.runs[self._run_by_otid[token]], pings=request.include_pings)
        self._lock(key, token)
        run = self._new_run(agent, conversation, request, streams=True)
        self._remember(run, token, request.otids)
        if request.background and not self.redis:
            run.finish(None)
            raise redis_missing(prefix="INTERNAL_SERVER_ERROR: ")
        if request.include_pings:
            run.send(ping(run.id))
        request = request.model_copy(update=_NO_TOKENS)
        if locks and not self.cloud:  # a conversation's endpoint does not pass it on
            request = request.model_copy(update={"include_compaction_messages": False})
        turn = self._turn(agent, conversation, request, run, streams=True)
        self._spawn(self._play(turn, key))
        return self._read(run, pings=request.include_pings, live=True)

    async def answer(self, agent: Agent, conversation: Conversation, request: TurnRequest) -> dict[str, Any]:
        """Play a turn for a conversation's request that does not stream.

        Only the agent's own list of messages is locked, and the run is left as it was created.
        """
        self.check_handle(request.override_model)
        token = _token(request.otids)
        key = _lock_key(agent, conversation) if conversation.is_default and self.redis else None
        self._lock(key, token)
        try:
            run = self._new_run(agent, conversation, request, streams=False)
            if key is not None:
                self._remember(run, token, request.otids)
            heeded = request.model_copy(update=_NO_TOKENS)
            return await self._turn(agent, conversation, heeded, run, streams=False).answer()
        finally:
            self._release(key)

    async def answer_directly(self, agent: Agent, request: TurnRequest) -> dict[str, Any]:
        """Play a turn for the agent's own endpoint: no lock, and the run is finished."""
        self.check_handle(request.override_model)
        run = self._new_run(agent, agent.default, request, streams=False)
        return await self._answered(agent, request, run)

    def start_async(self, agent: Agent, request: TurnRequest) -> Run:
        """Start a turn that nobody waits for; it loses the client's tools and skills, as on the real server."""
        request = request.model_copy(update={"client_tools": None, "client_skills": None, **_NO_TOKENS})
        self.check_handle(request.override_model)
        run = self._new_run(agent, agent.default, request, streams=False)
        run.background = True
        run.callback_url = request.callback_url
        run.metadata.update({"run_type": "send_message_async", "lettuce": None})
        self._spawn(self._ignoring_failure(self._answered(agent, request, run)))
        return run

    def preview(self, agent: Agent, conversation: Conversation, request: TurnRequest) -> dict[str, Any]:
        """What the model would be sent for a request."""
        self.check_handle(request.override_model)
        context = self.store.context(conversation)
        tools = function_tools(agent, [tool.model_dump() for tool in request.client_tools or ()])
        payload: dict[str, Any] = {
            "messages": chat_messages(
                [*context, *admitted(request, context)],
                override_system=request.override_system,
                cap=agent.tool_result_cap,
                skills=request.client_skills or (),
            ),
            "model": (request.override_model or conversation.model or agent.model).partition("/")[2],
            "max_completion_tokens": 4096,
            "temperature": 1.0,
            "user": USER_ID,
        }
        if tools:
            payload |= {"tools": tools, "tool_choice": "auto", "parallel_tool_calls": agent.parallel_tool_calls}
        return payload

    async def _answered(self, agent: Agent, request: TurnRequest, run: Run) -> dict[str, Any]:
        try:
            answer = await self._turn(agent, agent.default, request, run, streams=False).answer()
        except (ApiError, ModelError) as error:
            run.finish("error", error={"message": str(error)})
            raise
        run.finish(answer["stop_reason"]["stop_reason"])
        return answer

    async def _ignoring_failure(self, answer: Awaitable[object]) -> None:
        """Nobody waits for an asynchronous turn; its run has the failure."""
        with suppress(ApiError, ModelError, GateClosed):
            await answer

    def check_handle(self, handle: str | None) -> None:
        """Refuse a model handle that nobody serves."""
        if handle is not None and handle not in self.handles:
            raise handle_not_found(handle)

    def _lock(self, key: str | None, token: str) -> None:
        if key is None:
            return
        if key in self._locks:
            raise busy(self._run_by_otid.get(self._locks[key]))
        self._locks[key] = token

    def _release(self, key: str | None) -> None:
        """Let the next request in, whoever holds the lock now: the server does not look either."""
        if key is not None:
            self._locks.pop(key, None)

    def _turn(self, agent: Agent, conversation: Conversation, request: TurnRequest, run: Run, *, streams: bool) -> Turn:
        return Turn(
            store=self.store,
            model=self.model,
            agent=agent,
            conversation=conversation,
            request=request,
            run=run,
            streams=streams,
            cloud=self.cloud,
        )

    async def _play(self, turn: Turn, key: str | None) -> None:
        try:
            await turn.stream()
        finally:
            self._release(key)

    def _new_run(self, agent: Agent, conversation: Conversation, request: TurnRequest, *, streams: bool) -> Run:
        """Record a run; a request that does not stream leaves one without a conversation."""
        in_conversation = streams and not conversation.is_default
        run_type = "send_message" if conversation.is_default else "send_conversation_message"
        run = Run(
            agent_id=agent.id,
            conversation_id=conversation.id if in_conversation else None,
            background=streams and request.background,
            metadata={"run_type": run_type},
            request_config={
                "use_assistant_message": True,
                "assistant_message_tool_name": "send_message",
                "assistant_message_tool_kwarg": "message",
                "include_return_message_types": request.include_return_message_types,
            },
        )
        self.runs[run.id] = run
        return run

    def _remember(self, run: Run, token: str, otids: Sequence[str]) -> None:
        if self.redis:
            self._run_by_otid.update(dict.fromkeys((token, *otids), run.id))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def resume(
        self, agent: Agent | None, conversation: Conversation | None, request: StreamRequest
    ) -> AsyncIterator[str]:
        """Read the frames of a run behind a sequence id.

        Raises:
            ApiError: there is no such run, nothing active, or no Redis.
        """
        if not self.redis:
            raise redis_missing()
        run = self._resumable(agent, conversation, request)
        return self._read(run, pings=bool(request.include_pings), after=request.starting_after)

    def _resumable(self, agent: Agent | None, conversation: Conversation | None, request: StreamRequest) -> Run:
        if request.run_id is not None:
            return self.run(request.run_id)
        if request.otid is not None:
            if request.otid not in self._run_by_otid:
                text = f"No run found for otid={request.otid}. The run may have expired or never existed."
                raise not_found(text)
            return self.run(self._run_by_otid[request.otid])
        active = self.active_runs(agent, conversation)
        if not active:
            raise invalid_argument("No active runs found for this conversation.")
        if not active[0].background:
            raise invalid_argument("Run was not created in background mode, so it cannot be retrieved.")
        return active[0]

    def run(self, run_id: str) -> Run:
        """Find a run."""
        if run_id not in self.runs:
            if not re.match(RUN_ID, run_id):
                raise invalid_argument(f"Invalid run ID format: {run_id}. Expected format: 'run-<uuid4>'")
            raise run_not_found(run_id)
        return self.runs[run_id]

    def active_runs(self, agent: Agent | None, conversation: Conversation | None) -> list[Run]:
        """The runs that are not over, newest first: of a conversation, or of an agent in all its conversations."""
        runs = [run for run in reversed(self.runs.values()) if run.active]
        if conversation is not None and not conversation.is_default:
            return [run for run in runs if run.conversation_id == conversation.id]
        return [run for run in runs if agent is not None and run.agent_id == agent.id]

    def cancel(self, agent: Agent, conversation: Conversation) -> dict[str, str]:
        """Cancel what runs in a conversation, or in all conversations of an agent for its default one.

        The lock is free at once, the turn itself stops at its next token.
        """
        active = self.active_runs(agent, conversation)
        if not active:
            raise no_active_runs(conversation.id)
        return self.cancel_runs(active)

    def cancel_runs(self, runs: Sequence[Run]) -> dict[str, str]:
        """Cancel runs; one that is over stays what it is."""
        for run in runs:
            if run.active:
                run.status, run.stop_reason, run.completed_at = "cancelled", "cancelled", now()
                self._release(run.conversation_id)
        return {run.id: "cancelled" for run in runs}

    def cancel_latest(self, agent: Agent, run_ids: Sequence[str] | None) -> dict[str, str]:
        """Cancel runs by id, or the agent's latest run, or without Redis all that are active."""
        if run_ids:
            unknown = {run_id: "failed" for run_id in run_ids if run_id not in self.runs}
            return self.cancel_runs([self.runs[run_id] for run_id in run_ids if run_id in self.runs]) | unknown
        own = [run for run in reversed(self.runs.values()) if run.agent_id == agent.id]
        chosen = own[:1] if self.redis else [run for run in own if run.active]
        if not chosen:
            raise ApiError(409, {"detail": f"CONFLICT: No active runs to cancel for agent {agent.id}"}, own=True)
        return self.cancel_runs(chosen)

    def reread(self, run: Run, request: StreamRequest) -> AsyncIterator[str]:
        """Read the frames of a background run again."""
        if not run.background:
            raise invalid_argument("Run was not created in background mode, so it cannot be retrieved.")
        if not self.redis:
            raise redis_missing()
        return self._read(run, pings=bool(request.include_pings), after=request.starting_after)

    def _read(self, run: Run, *, pings: bool, after: int = 0, live: bool = False) -> AsyncIterator[str]:
        channel = run.live if live else run.kept
        if self._stopping:
            channel.close()
        return channel.read(after=after, run_id=run.id, ping_every=self.ping_every if pings else None)

    async def stop(self) -> None:
        """End every turn and every reader."""
        self._stopping = True
        self.gates.close()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for run in self.runs.values():
            run.live.close()
            run.kept.close()


def _token(otids: Sequence[str]) -> str:
    """What makes two requests the same: all otids, in order."""
    if not otids:
        return str(uuid4())
    return hashlib.sha256("|".join(otids).encode()).hexdigest()[:16]


def _lock_key(agent: Agent, conversation: Conversation) -> str:
    return agent.id if conversation.is_default else conversation.id
