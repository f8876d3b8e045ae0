"""The resources of a client, `agents`, `conversations` with `messages`, `models` and `runs`: blocking and async.

Every method is made out of a function of `endpoints.py` or `turns.py`, which has its signature and its docstring.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from letta_adapters.client import endpoints, turns
from letta_adapters.client.endpoints import Endpoint
from letta_adapters.client.senders import AsyncSender, BlockingSender
from letta_adapters.client.turns import PreparedTurn
from letta_adapters.drivers import AsyncTurnStream, TurnStream
from letta_adapters.waiting import newest_first, waiting_calls
from letta_adapters.wire import ToolCall, ToolCallDelta

__all__ = [
    "AgentMessages",
    "Agents",
    "AsyncAgentMessages",
    "AsyncAgents",
    "AsyncConversations",
    "AsyncMessages",
    "AsyncModels",
    "AsyncRuns",
    "Conversations",
    "Messages",
    "Models",
    "Runs",
    "SettledCall",
]

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Callable[..., Any])


SETTLED = "The application does not answer this call."


@dataclass(frozen=True, kw_only=True)
class SettledCall:
    """A call that was denied; `arguments` is JSON text."""

    tool_call_id: str
    name: str
    arguments: str


class _Named:
    """Gives the methods of a resource the names they have there."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name, method in vars(cls).items():
            if inspect.isfunction(method) and not name.startswith("_"):
                method.__name__ = name
                method.__qualname__ = f"{cls.__qualname__}.{name}"


class _Resource(_Named):
    def __init__(self, sender: BlockingSender) -> None:
        self._sender = sender


class _AsyncResource(_Named):
    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender


def _documented(method: M, build: Callable[..., Any]) -> M:
    """Give a method the docstring and the parameters of the function that it is made of."""
    named = cast("Any", method)
    named.__doc__ = build.__doc__
    signature = inspect.signature(build)
    self_parameter = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    named.__signature__ = signature.replace(
        parameters=[self_parameter, *signature.parameters.values()], return_annotation=inspect.Signature.empty
    )
    return method


def _call(build: Callable[P, Endpoint[T]]) -> Callable[Concatenate[_Resource, P], T]:
    def method(self: _Resource, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._sender.send(build(*args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return _documented(method, build)


def _async_call(build: Callable[P, Endpoint[T]]) -> Callable[Concatenate[_AsyncResource, P], Awaitable[T]]:
    async def method(self: _AsyncResource, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._sender.send(build(*args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return _documented(method, build)


def _turn(build: Callable[P, PreparedTurn]) -> Callable[Concatenate[_Resource, P], TurnStream]:
    def method(self: _Resource, *args: P.args, **kwargs: P.kwargs) -> TurnStream:
        return self._sender.open_turn(build(*args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return _documented(method, build)


def _async_turn(build: Callable[P, PreparedTurn]) -> Callable[Concatenate[_AsyncResource, P], AsyncTurnStream]:
    def method(self: _AsyncResource, *args: P.args, **kwargs: P.kwargs) -> AsyncTurnStream:
        return self._sender.open_turn(build(*args, **kwargs))  # pyright: ignore[reportPrivateUsage]

    return _documented(method, build)


def _settled(calls: Sequence[ToolCall | ToolCallDelta]) -> tuple[SettledCall, ...]:
    return tuple(
        SettledCall(tool_call_id=call.tool_call_id or "", name=call.name or "", arguments=call.arguments or "")
        for call in calls
    )


class AgentMessages(_Resource):
    """The messages of an agent."""

    cancel = _call(endpoints.cancel_runs)


class Agents(_Resource):
    """Agents."""

    create = _call(endpoints.create_agent)
    retrieve = _call(endpoints.retrieve_agent)
    delete = _call(endpoints.delete_agent)

    def __init__(self, sender: BlockingSender) -> None:
        super().__init__(sender)
        self.messages = AgentMessages(sender)


class AsyncAgentMessages(_AsyncResource):
    """The messages of an agent."""

    cancel = _async_call(endpoints.cancel_runs)


class AsyncAgents(_AsyncResource):
    """Agents."""

    create = _async_call(endpoints.create_agent)
    retrieve = _async_call(endpoints.retrieve_agent)
    delete = _async_call(endpoints.delete_agent)

    def __init__(self, sender: AsyncSender) -> None:
        super().__init__(sender)
        self.messages = AsyncAgentMessages(sender)


class Messages(_Resource):
    """The messages of a conversation."""

    list = _call(endpoints.list_messages)
    create = _turn(turns.create_message)
    stream = _turn(turns.attach_to_run)


class AsyncMessages(_AsyncResource):
    """The messages of a conversation."""

    list = _async_call(endpoints.list_messages)
    create = _async_turn(turns.create_message)
    stream = _async_turn(turns.attach_to_run)


class Conversations(_Resource):
    """Conversations."""

    create = _call(endpoints.create_conversation)
    retrieve = _call(endpoints.retrieve_conversation)
    list = _call(endpoints.list_conversations)
    delete = _call(endpoints.delete_conversation)
    update = _call(endpoints.update_conversation)
    fork = _call(endpoints.fork_conversation)
    cancel = _call(endpoints.cancel_conversation)

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
        listed = self._sender.send(endpoints.list_messages(conversation_id, agent_id=agent_id, order="desc"))
        if not listed and conversation_id != "default":  # a conversation that is gone lists as empty (measured)
            self._sender.send(endpoints.retrieve_conversation(conversation_id))
        rows = newest_first(listed)
        calls = waiting_calls(rows)
        if calls:
            turn = turns.settle(conversation_id, rows[0].id, calls, agent_id=agent_id, reason=reason)
            self._sender.open_turn(turn).result()
        return _settled(calls)


class AsyncConversations(_AsyncResource):
    """Conversations."""

    create = _async_call(endpoints.create_conversation)
    retrieve = _async_call(endpoints.retrieve_conversation)
    list = _async_call(endpoints.list_conversations)
    delete = _async_call(endpoints.delete_conversation)
    update = _async_call(endpoints.update_conversation)
    fork = _async_call(endpoints.fork_conversation)
    cancel = _async_call(endpoints.cancel_conversation)

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
        listed = await self._sender.send(endpoints.list_messages(conversation_id, agent_id=agent_id, order="desc"))
        if not listed and conversation_id != "default":  # a conversation that is gone lists as empty (measured)
            await self._sender.send(endpoints.retrieve_conversation(conversation_id))
        rows = newest_first(listed)
        calls = waiting_calls(rows)
        if calls:
            turn = turns.settle(conversation_id, rows[0].id, calls, agent_id=agent_id, reason=reason)
            await self._sender.open_turn(turn).result()
        return _settled(calls)


class Runs(_Resource):
    """Runs: what the server made of a turn."""

    retrieve = _call(endpoints.retrieve_run)
    messages = _call(endpoints.list_run_messages)


class AsyncRuns(_AsyncResource):
    """Runs: what the server made of a turn."""

    retrieve = _async_call(endpoints.retrieve_run)
    messages = _async_call(endpoints.list_run_messages)


class Models(_Resource):
    """The models that agents can use."""

    list = _call(endpoints.list_models)


class AsyncModels(_AsyncResource):
    """The models that agents can use."""

    list = _async_call(endpoints.list_models)
