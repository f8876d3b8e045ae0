"""The resources of a client, `agents`, `conversations`, `models` and `runs`: for threads.

Nearly every method is made out of a function that has its signature and its docstring.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, overload

from typing_extensions import Unpack

from letta_adapters.client import endpoints, jobs, listing, message_endpoints, run_endpoints, turns
from letta_adapters.client.asking import ask
from letta_adapters.client.controls import StreamedRequest, WholeRequest
from letta_adapters.client.methods import (
    SETTLED,
    Resource,
    SettledCall,
    call,
    documented,
    each,
    rows,
    settled,
    turn,
)
from letta_adapters.client.senders import BlockingSender
from letta_adapters.client.turns import Attaching
from letta_adapters.locks import Patience
from letta_adapters.thread_driver import TurnStream
from letta_adapters.waiting import newest_first, waiting_calls
from letta_adapters.wire import LettaResponse, Run

__all__ = ["AgentMessages", "Agents", "Conversations", "Messages", "Models", "Runs"]


class AgentMessages(Resource):
    """The messages of an agent."""

    list = call(message_endpoints.list_agent_messages)
    iterate = rows(listing.pages_of_agent)
    stream = turn(turns.stream_agent_message)
    create_async = call(message_endpoints.create_async_message)
    cancel = call(endpoints.cancel_runs)
    compact = call(message_endpoints.compact_agent)
    reset = call(message_endpoints.reset_agent)
    preview_raw_payload = call(message_endpoints.preview_agent_message)

    @overload
    def create(
        self, agent_id: str, *, streaming: Literal[False] = False, **request: Unpack[WholeRequest]
    ) -> LettaResponse: ...

    @overload
    def create(self, agent_id: str, *, streaming: Literal[True], **request: Unpack[StreamedRequest]) -> TurnStream: ...

    @documented(message_endpoints.answer_agent_message, streaming=False)
    def create(self, agent_id: str, *, streaming: bool = False, **request: Any) -> LettaResponse | TurnStream:
        """Send a turn to an agent's default conversation."""
        if streaming:
            return self.sender.open_turn(turns.stream_agent_message(agent_id, **request))
        return self.sender.send(message_endpoints.answer_agent_message(agent_id, **request))


class Agents(Resource):
    """Agents."""

    create = call(endpoints.create_agent)
    retrieve = call(endpoints.retrieve_agent)
    delete = call(endpoints.delete_agent)

    def __init__(self, sender: BlockingSender) -> None:
        super().__init__(sender)
        self.messages = AgentMessages(sender)


class Messages(Resource):
    """The messages of a conversation."""

    list = call(endpoints.list_messages)
    iterate = rows(listing.pages_of)
    stream = turn(turns.attach_to_run)
    compact = call(message_endpoints.compact_conversation)
    preview_raw_payload = call(message_endpoints.preview_message)

    @overload
    def create(
        self,
        conversation_id: str,
        *,
        streaming: Literal[True] = True,
        agent_id: str | None = None,
        **request: Unpack[StreamedRequest],
    ) -> TurnStream: ...

    @overload
    def create(
        self,
        conversation_id: str,
        *,
        streaming: Literal[False],
        agent_id: str | None = None,
        **request: Unpack[WholeRequest],
    ) -> LettaResponse: ...

    @documented(turns.create_message, streaming=True)
    def create(self, conversation_id: str, *, streaming: bool = True, **request: Any) -> TurnStream | LettaResponse:
        """Send a turn to a conversation."""
        if streaming:
            return self.sender.open_turn(turns.create_message(conversation_id, **request))
        return self.sender.send(message_endpoints.answer_message(conversation_id, **request))


class Conversations(Resource):
    """Conversations."""

    create = call(endpoints.create_conversation)
    retrieve = call(endpoints.retrieve_conversation)
    list = call(endpoints.list_conversations)
    iterate = each(listing.all_conversations)
    delete = call(endpoints.delete_conversation)
    update = call(endpoints.update_conversation)
    fork = call(endpoints.fork_conversation)
    cancel = call(endpoints.cancel_conversation)
    recompile = call(endpoints.recompile_conversation)

    def __init__(self, sender: BlockingSender) -> None:
        super().__init__(sender)
        self.messages = Messages(sender)

    def settle(
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
            for call in client.conversations.settle(conversation.id):
                print("denied", call.name, call.arguments)
            ```
        """
        listed = self.sender.send(endpoints.list_messages(conversation_id, agent_id=agent_id, order="desc"))
        if not listed and conversation_id != "default":  # a conversation that is gone lists as empty (measured)
            self.sender.send(endpoints.retrieve_conversation(conversation_id))
        rows = newest_first(listed)
        calls = waiting_calls(rows)
        if calls:
            turn = turns.settle(conversation_id, rows[0].id, calls, agent_id=agent_id, reason=reason)
            self.sender.open_turn(turn).result()
        return settled(calls)


class Runs(Resource):
    """Runs: what the server made of a turn."""

    retrieve = call(run_endpoints.retrieve_run)
    messages = call(run_endpoints.list_run_messages)
    iterate_messages = rows(listing.pages_of_run)
    usage = call(run_endpoints.retrieve_run_usage)

    def stream(self, run_id: str, **how: Unpack[Attaching]) -> TurnStream:
        """Stream a run again; only runs that were started in the background can be streamed.

        Args:
            run_id: The run.
            how: `starting_after`, the number of the last event that is not wanted; `include_pings`; `poll_interval`,
                seconds that the server waits before it looks for what is new; `batch_size`, events it reads at a time.

        Raises:
            NotFound: There is none of this id.
            ValueError: A number makes no sense.
        """
        run = self.sender.send(run_endpoints.retrieve_run(run_id))
        return self.sender.open_turn(turns.attach_to_recorded_run(run, **how))

    def progress(self, run_id: str, *, timeout: float = 600.0) -> Iterator[Run]:
        """Give the record of a run now, and again whenever it has changed, until the run has ended.

        Args:
            run_id: The run.
            timeout: Seconds to wait for its end. The server is asked after 0.1 seconds, then ever more seldom, at
                last every 2.

        Raises:
            NotFound: There is none of this id.
            RequestTimeout: It did not end in time; it goes on at the server.
        """
        return ask(self.sender, jobs.progress_of(run_id, Patience(timeout)))

    def wait(self, run_id: str, *, timeout: float = 600.0, on_progress: jobs.OnProgress | None = None) -> Run:
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
            run = client.agents.messages.create_async(agent.id, input="Take your time")
            run = client.runs.wait(run.id, on_progress=lambda run: print(run.status))
            ```
        """
        last: Run | None = None
        for run in self.progress(run_id, timeout=timeout):
            if on_progress is not None:
                on_progress(run)
            last = run
        assert last is not None, "a run has a record before it ends"
        return last


class Models(Resource):
    """The models that agents can use."""

    list = call(endpoints.list_models)
