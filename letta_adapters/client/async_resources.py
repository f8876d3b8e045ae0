"""The resources of a client, `agents`, `conversations`, `models` and `runs`: for tasks.

Nearly every method is made out of a function that has its signature and its docstring.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Literal, overload

from typing_extensions import Unpack

from letta_adapters.client import endpoints, jobs, listing, message_endpoints, run_endpoints, turns
from letta_adapters.client.asking import aask
from letta_adapters.client.controls import StreamedRequest, WholeRequest
from letta_adapters.client.methods import (
    SETTLED,
    AsyncResource,
    SettledCall,
    async_call,
    async_each,
    async_rows,
    async_turn,
    documented,
    settled,
)
from letta_adapters.client.senders import AsyncSender
from letta_adapters.client.turns import Attaching
from letta_adapters.locks import Patience
from letta_adapters.task_driver import AsyncTurnStream
from letta_adapters.waiting import newest_first, waiting_calls
from letta_adapters.wire import LettaResponse, Run

__all__ = ["AsyncAgentMessages", "AsyncAgents", "AsyncConversations", "AsyncMessages", "AsyncModels", "AsyncRuns"]


class AsyncAgentMessages(AsyncResource):
    """The messages of an agent."""

    list = async_call(message_endpoints.list_agent_messages)
    iterate = async_rows(listing.pages_of_agent)
    stream = async_turn(turns.stream_agent_message)
    create_async = async_call(message_endpoints.create_async_message)
    cancel = async_call(endpoints.cancel_runs)
    compact = async_call(message_endpoints.compact_agent)
    reset = async_call(message_endpoints.reset_agent)
    preview_raw_payload = async_call(message_endpoints.preview_agent_message)

    @overload
    def create(
        self, agent_id: str, *, streaming: Literal[False] = False, **request: Unpack[WholeRequest]
    ) -> Awaitable[LettaResponse]: ...

    @overload
    def create(
        self, agent_id: str, *, streaming: Literal[True], **request: Unpack[StreamedRequest]
    ) -> AsyncTurnStream: ...

    @documented(message_endpoints.answer_agent_message, streaming=False)
    def create(
        self, agent_id: str, *, streaming: bool = False, **request: Any
    ) -> Awaitable[LettaResponse] | AsyncTurnStream:
        """Send a turn to an agent's default conversation."""
        if streaming:
            return self.sender.open_turn(turns.stream_agent_message(agent_id, **request))
        return self.sender.send(message_endpoints.answer_agent_message(agent_id, **request))


class AsyncAgents(AsyncResource):
    """Agents."""

    create = async_call(endpoints.create_agent)
    retrieve = async_call(endpoints.retrieve_agent)
    delete = async_call(endpoints.delete_agent)

    def __init__(self, sender: AsyncSender) -> None:
        super().__init__(sender)
        self.messages = AsyncAgentMessages(sender)


class AsyncMessages(AsyncResource):
    """The messages of a conversation."""

    list = async_call(endpoints.list_messages)
    iterate = async_rows(listing.pages_of)
    stream = async_turn(turns.attach_to_run)
    compact = async_call(message_endpoints.compact_conversation)
    preview_raw_payload = async_call(message_endpoints.preview_message)

    @overload
    def create(
        self,
        conversation_id: str,
        *,
        streaming: Literal[True] = True,
        agent_id: str | None = None,
        **request: Unpack[StreamedRequest],
    ) -> AsyncTurnStream: ...

    @overload
    def create(
        self,
        conversation_id: str,
        *,
        streaming: Literal[False],
        agent_id: str | None = None,
        **request: Unpack[WholeRequest],
    ) -> Awaitable[LettaResponse]: ...

    @documented(turns.create_message, streaming=True)
    def create(
        self, conversation_id: str, *, streaming: bool = True, **request: Any
    ) -> AsyncTurnStream | Awaitable[LettaResponse]:
        """Send a turn to a conversation."""
        if streaming:
            return self.sender.open_turn(turns.create_message(conversation_id, **request))
        return self.sender.send(message_endpoints.answer_message(conversation_id, **request))


class AsyncConversations(AsyncResource):
    """Conversations."""

    create = async_call(endpoints.create_conversation)
    retrieve = async_call(endpoints.retrieve_conversation)
    list = async_call(endpoints.list_conversations)
    iterate = async_each(listing.all_conversations)
    delete = async_call(endpoints.delete_conversation)
    update = async_call(endpoints.update_conversation)
    fork = async_call(endpoints.fork_conversation)
    cancel = async_call(endpoints.cancel_conversation)
    recompile = async_call(endpoints.recompile_conversation)

    def __init__(self, sender: AsyncSender) -> None:
        super().__init__(sender)
        self.messages = AsyncMessages(sender)

    async def settle(
        self, conversation_id: str, *, agent_id: str | None = None, reason: str = SETTLED
    ) -> tuple[SettledCall, ...]:
        """Deny every call that a conversation waits for, so that it takes messages again.

        The agent is told; its model is not called (`max_steps` 1: measured on 0.16.8).

        Args:
            conversation_id: The conversation, or `default` with `agent_id`.
            agent_id: The agent, for `default`.
            reason: What the agent is told.

        Returns:
            The calls that were denied; none where none was waiting.

        Raises:
            NotFound: There is no such conversation.
            LettaError: It could not be done; the tree is in `letta_adapters.errors`.

        Example:
            ```python
            for call in await client.conversations.settle(conversation.id):
                print("denied", call.name, call.arguments)
            ```
        """
        listed = await self.sender.send(endpoints.list_messages(conversation_id, agent_id=agent_id, order="desc"))
        if not listed and conversation_id != "default":  # a conversation that is gone lists as empty (measured)
            await self.sender.send(endpoints.retrieve_conversation(conversation_id))
        rows = newest_first(listed)
        calls = waiting_calls(rows)
        if calls:
            turn = turns.settle(conversation_id, rows[0].id, calls, agent_id=agent_id, reason=reason)
            await self.sender.open_turn(turn).result()
        return settled(calls)


class AsyncRuns(AsyncResource):
    """Runs: what the server made of a turn."""

    retrieve = async_call(run_endpoints.retrieve_run)
    messages = async_call(run_endpoints.list_run_messages)
    iterate_messages = async_rows(listing.pages_of_run)
    usage = async_call(run_endpoints.retrieve_run_usage)

    async def stream(self, run_id: str, **how: Unpack[Attaching]) -> AsyncTurnStream:
        """Stream a run again; only runs that were started in the background can be streamed.

        Args:
            run_id: The run.
            how: `starting_after`, the number of the last event that is not wanted; `include_pings`; `poll_interval`,
                seconds that the server waits before it looks for what is new; `batch_size`, events it reads at a time.

        Raises:
            NotFound: There is none of this id.
            ValueError: A number makes no sense.
        """
        run = await self.sender.send(run_endpoints.retrieve_run(run_id))
        return self.sender.open_turn(turns.attach_to_recorded_run(run, **how))

    def progress(self, run_id: str, *, timeout: float = 600.0) -> AsyncIterator[Run]:
        """Give the record of a run now, and again whenever it has changed, until the run has ended.

        Args:
            run_id: The run.
            timeout: Seconds to wait for its end. The server is asked after 0.1 seconds, then ever more seldom, at
                last every 2.

        Raises:
            NotFound: There is none of this id.
            RequestTimeout: It did not end in time; it goes on at the server.
        """
        return aask(self.sender, jobs.progress_of(run_id, Patience(timeout)))

    async def wait(self, run_id: str, *, timeout: float = 600.0, on_progress: jobs.OnProgress | None = None) -> Run:
        """Wait until a run has ended, and give its record. The status alone proves nothing: look at `stop_reason`.

        Args:
            run_id: The run.
            timeout: Seconds to wait for its end.
            on_progress: Told of the record now, and again whenever it has changed.

        Raises:
            NotFound: There is none of this id.
            RequestTimeout: It did not end in time; it goes on at the server.

        Example:
            ```python
            run = await client.agents.messages.create_async(agent.id, input="Take your time")
            run = await client.runs.wait(run.id, on_progress=lambda run: print(run.status))
            ```
        """
        last: Run | None = None
        async for run in self.progress(run_id, timeout=timeout):
            if on_progress is not None:
                on_progress(run)
            last = run
        assert last is not None, "a run has a record before it ends"
        return last


class AsyncModels(AsyncResource):
    """The models that agents can use."""

    list = async_call(endpoints.list_models)
